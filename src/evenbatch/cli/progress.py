"""Progress with time left, on standard error: a bar where there is a terminal, a line for each piece elsewhere."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evenbatch.report.sentences import count
from evenbatch.study import store
from evenbatch.study.progress import epochs_done
from evenbatch.study.spec import STATISTICS, Plan, Specification


class TimeLeft:
    """Estimates the time left from what was done since it was made."""

    def __init__(self, done: float, total: float) -> None:
        self._begin = time.monotonic()
        self._before, self._total = done, total

    def __call__(self, done: float) -> str:
        """Such as "1:05 left", and nothing before there is anything to go by."""
        fresh = done - self._before
        if fresh <= 0 or done >= self._total:
            return ""
        seconds = (time.monotonic() - self._begin) / fresh * (self._total - done)
        return f"about {clock(seconds)} left"


def clock(seconds: float) -> str:
    """Seconds as minutes:seconds or hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=console,
        disable=not console.is_terminal,
    )


class StudyProgress:
    """Watches a study: reads the folders of its trials twice a second."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = _bar(self._console)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def note(self, text: str) -> None:
        """Says what takes a while before the study begins."""
        self._console.print(escape(text), soft_wrap=True)

    def begin(self, plan: Plan, folder: Path, done: int) -> None:
        """Shows what will be done and starts watching."""
        self._plan, self._folder, self._done = plan, folder, done
        spec = plan.spec
        trials, epochs = len(spec.trials()), spec.epochs
        state = (
            "complete already" if done == trials else f"{done} of {trials} trials complete already" if done else "new"
        )
        self._console.print(
            escape(
                f"{spec.recipe} on {_data(spec)}, {spec.backend}: {count(len(spec.arms), 'arm')} × "
                f"{count(len(spec.seeds), 'seed')}, {count(epochs, 'epoch')} each; {state}. Results in {folder}"
            ),
            soft_wrap=True,
        )
        if done == trials:
            return
        self._trained = self._epochs()
        self._left = TimeLeft(self._trained, trials * epochs)
        self._task = self._bar.add_task("epochs", total=trials * epochs, completed=self._trained, left="")
        self._bar.start()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def trial(self, record: dict[str, Any]) -> None:
        """Prints a line for a trial that is complete."""
        self._done += 1
        seconds = (record["timing"] or {}).get("trial_seconds")
        took = f" in {seconds:.1f} s" if seconds else ""
        history = store.read_history(self._folder, record["arm"], record["seed"])
        reached = f", {self._reached(history[-1])}" if history and record["outcome"] == "finished" else ""
        error = f": {record['error']}" if record["error"] else ""
        number = f"[{self._done}/{len(self._plan.spec.trials())}]"
        left = self._left(self._epochs())
        self._bar.console.print(
            escape(f"  {number} {record['arm']}, seed {record['seed']}: {record['outcome']}{took}{reached}{error}")
            + (f"; {left}" if left and not self._console.is_terminal else ""),
            soft_wrap=True,
        )

    def _reached(self, last: dict[str, Any]) -> str:
        """What the last epoch of a trial came to."""
        settings = self._plan.spec.adversarial
        if settings is None:
            return f"{last['val_accuracy']:.1%} validation accuracy"
        return f"distance {last[f'frechet_{settings.statistics}']:.1f}"

    def end(self) -> None:
        """Stops watching."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._bar.update(self._task, completed=self._epochs(), left="")
            self._bar.stop()

    def _watch(self) -> None:
        while not self._stopped.wait(0.5):
            self._trained = self._epochs()
            self._bar.update(self._task, completed=self._trained, left=self._left(self._trained))

    def _epochs(self) -> int:
        spec = self._plan.spec
        return sum(self._epochs_of(arm.name, seed) for arm, seed in spec.trials())

    def _epochs_of(self, arm: str, seed: int) -> int:
        """All epochs of a trial that ended, those done of one that runs, none of one that has not begun."""
        folder = store.trial_folder(self._folder, arm, seed)
        return self._plan.spec.epochs if (folder / "trial.json").exists() else epochs_done(folder)


def _data(spec: Specification) -> str:
    """The name of the data, and what was done to them."""
    resized = spec.adversarial.resize if spec.adversarial is not None else None
    return spec.data.name + (f" resized to {resized}×{resized}" if resized else "")


def _losses(row: dict[str, Any]) -> str:
    """What an epoch came to."""
    if "d_loss" not in row:
        return (
            f"loss {row['loss']:.4f}, accuracy {row['accuracy']:.1%}, "
            f"validation loss {row['val_loss']:.4f}, accuracy {row['val_accuracy']:.1%}"
        )
    distances = {name: row.get(f"frechet_{name}") for name in STATISTICS}
    measured = [f"{name} {value:.1f}" for name, value in distances.items() if value is not None]
    losses = f"discriminator's loss {row['d_loss']:.3f}, generator's {row['g_loss']:.3f}"
    if not measured:
        return losses
    return f"{losses}; distance {', '.join(measured)} (took {row['measure_seconds']:.1f} s)"


class TrainingProgress:
    """Watches one training, step by step."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = _bar(self._console)
        self._steps = 0
        self._shown = 0.0

    def __enter__(self) -> "TrainingProgress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Says what takes a while before the training begins."""
        self._console.print(escape(text), soft_wrap=True)

    def begin(self, plan: Plan, folder: Path) -> None:
        """Shows what will be done."""
        spec = plan.spec
        done = epochs_done(folder)
        self._epochs = spec.epochs
        self._steps = done * spec.steps_per_epoch
        total = spec.epochs * spec.steps_per_epoch
        self._left = TimeLeft(self._steps, total)
        again = f", going on after epoch {done} or the checkpoint before it" if done else ""
        size = f"{count(spec.epochs, 'epoch')} of {count(spec.steps_per_epoch, 'step')}"
        line = f"{spec.recipe} on {_data(spec)}, {spec.backend}: {size}{again}. Results in {folder}"
        self._console.print(escape(line), soft_wrap=True)
        self._task = self._bar.add_task("steps", total=total, completed=self._steps, left="")
        self._bar.start()

    def step(self) -> None:
        """Moves the bar, a few times a second at most."""
        self._steps += 1
        if time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            self._bar.update(self._task, completed=self._steps, left=self._left(self._steps))

    def epoch(self, row: dict[str, Any]) -> None:
        """Prints a line for an epoch."""
        left = self._left(self._steps)
        self._bar.update(self._task, completed=self._steps, left=left)
        self._bar.console.print(
            f"  epoch {row['epoch']}/{self._epochs}: {_losses(row)}"
            + (f"; {left}" if left and not self._console.is_terminal else ""),
            soft_wrap=True,
        )


class BenchProgress:
    """Watches measurements, case by case."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = _bar(self._console)
        self._number = 0
        self._spent = 0.0
        self._cost = 0.0

    def begin(self, cases: int, cost: float) -> None:
        """So many cases will be measured, which together cost that much."""
        self._cases = cases
        self._left = TimeLeft(0, cost)
        self._task = self._bar.add_task("measuring", total=cases, left="")
        self._bar.start()

    def case(self, name: str, cost: float) -> None:
        """Shows the case that begins; the one before it is done."""
        self._spent += self._cost
        self._cost = cost
        left = self._left(self._spent)
        self._bar.update(self._task, completed=self._number, description=escape(name), left=left)
        self._number += 1
        if not self._console.is_terminal:
            line = f"  [{self._number}/{self._cases}] {name}"
            self._console.print(escape(line + (f"; {left}" if left else "")), soft_wrap=True)

    def end(self) -> None:
        """Takes the bar away, so that the tables stand alone."""
        self._bar.stop()


class RecalibrationProgress:
    """Watches a recalibration, batch by batch."""

    def __init__(self) -> None:
        self._bar = _bar(Console(stderr=True, highlight=False))
        self._shown = 0.0

    def begin(self) -> None:
        """Shows that it begins."""
        self._task = self._bar.add_task("batches", total=None, left="")
        self._left: TimeLeft | None = None
        self._bar.start()

    def step(self, done: int, batches: int | None) -> None:
        """Moves the bar, a few times a second at most."""
        self._left = self._left or (TimeLeft(done, batches) if batches else None)
        if time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            left = self._left(done) if self._left else ""
            self._bar.update(self._task, completed=done, total=batches, left=left)

    def end(self) -> None:
        """Takes the bar away."""
        self._bar.stop()
