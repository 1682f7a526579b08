"""One trial: one arm with one seed, from initial weights to a recorded outcome.

A trial's folder holds `checkpoint.npz` and `progress.json` while it runs. It ends with `history.csv`, what its task
writes (`model.keras`; of a GAN `generator.keras`, `discriminator.keras` and `grids/`) and, last of all, `trial.json`:
where that file is, the trial is complete.
"""

import functools
import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import keras
from pydantic import BaseModel, ConfigDict

from evenbatch import devices, files
from evenbatch.callbacks import EpochCallback
from evenbatch.study import checkpoint, initial_weights
from evenbatch.study.progress import NAME as PROGRESS
from evenbatch.study.progress import Progress
from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.tasks import Row, Task, task_of
from evenbatch.study.threads import limit_threads


class Timing(BaseModel):
    """Seconds; what is left out when two runs of a study are compared."""

    model_config = ConfigDict(frozen=True)

    step_seconds: float | None
    train_seconds: float
    trial_seconds: float


class TrialRecord(BaseModel):
    """The content of `trial.json`."""

    model_config = ConfigDict(frozen=True)

    arm: str
    seed: int
    outcome: Literal["finished", "diverged", "failed"]
    epochs: int
    error: str | None = None
    parameters: int | None = None
    test: dict[str, float | None] | None = None
    collapsed: int | None = None
    class_shares: dict[str, float] | None = None
    yardstick: dict[str, Any] | None = None
    initial_weights: dict[str, str] = {}
    device: str | None = None
    timing: Timing | None = None


def run(
    plan: Plan,
    arm: ArmSpec,
    seed: int,
    folder: Path,
    *,
    callbacks: Sequence[Any] = (),
    on_row: Callable[[Row], None] | None = None,
) -> TrialRecord:
    """Trains one trial, from its checkpoint where there is one, and writes its files.

    Raises:
        EvenbatchError: the study's arguments do not fit its network, or a file could not be written.
    """
    keras.utils.clear_session(free_memory=False)  # not in a strategy's scope, which it would end
    trial = _Trial(task_of(plan, arm, seed), folder)
    with trial.team.together(functools.partial(follow, plan, arm, seed, folder)):
        return trial.run(callbacks, on_row or (lambda row: None))


def follow(plan: Plan, arm: ArmSpec, seed: int, folder: Path) -> None:
    """The same training on another rank, which writes nothing."""
    limit_threads(plan.spec.threads_of_a_process)
    trial = _Trial(task_of(plan, arm, seed), folder)
    trial.fit(trial.model(), [], lambda row: None)


class _Trial:
    """One trial in its folder."""

    def __init__(self, task: Task, folder: Path) -> None:
        self.task, self.folder = task, folder
        self.spec = task.plan.spec
        self.team = devices.team(self.spec.devices)

    def run(self, callbacks: Sequence[Any], on_row: Callable[[Row], None]) -> TrialRecord:
        """Trains it, and writes its files."""
        started = time.perf_counter()
        model = self.model()
        digests = initial_weights.digests(model)
        rows = self.fit(model, callbacks, on_row)
        diverged = not self.task.has_result(rows[-1])
        files.write_csv(self.folder / "history.csv", rows)
        found = self.task.finish(model, rows, self.folder)
        record = TrialRecord(
            arm=self.task.arm.name,
            seed=self.task.seed,
            outcome="diverged" if diverged else "finished",
            epochs=len(rows),
            parameters=int(model.count_params()),
            initial_weights=digests,
            device=_device(self.spec.devices),
            timing=_timing(rows, self.spec.steps_per_epoch, time.perf_counter() - started),
            **found,
        )
        complete(self.folder, record)
        return record

    def model(self) -> Any:
        """The compiled model, with its initial weights."""
        with self.team.building():
            return prepare(self.task)

    def fit(self, model: Any, callbacks: Sequence[Any], on_row: Callable[[Row], None]) -> list[Row]:
        """Trains the epochs that are left; returns a row for each, those before among them."""
        saved = self.folder / "checkpoint.npz"
        with self.team.building():
            rows = checkpoint.restore(saved, model)
        progress, cadence = Progress(self.folder), checkpoint.Cadence()

        def on_epoch(row: Row) -> bool:
            goes_on = self.task.is_finite(row)
            if self.team.leads:
                row = self.task.measured(model, row, self.folder)
            rows.append(row)
            on_row(row)
            if self.team.leads:
                progress(len(rows))
                if len(rows) < self.spec.epochs and goes_on and cadence.due():
                    cadence.spend(lambda: checkpoint.save(saved, model, rows))
            return goes_on

        epochs = range(len(rows), self.spec.epochs)
        feed = self.task.course(model).feed(epochs, self.team.placed)

        def on_begin(epoch: int) -> None:
            feed.begin(epoch)
            _seed_framework(self.task.seed, epoch)

        self.team.fit(
            model,
            **feed.arguments,
            **self.task.validation,
            epochs=epochs.stop,
            initial_epoch=epochs.start,
            shuffle=False,
            verbose=0,
            callbacks=[EpochCallback(on_begin, on_epoch), *callbacks],
        )
        return rows


def prepare(task: Task) -> Any:
    """The compiled model of a trial, with its initial weights."""
    keras.utils.set_random_seed(task.seed)
    model = task.network()
    initial_weights.draw(model, task.seed, task.arm.initial_scale)
    task.compile(model)
    return model


def complete(folder: Path, record: TrialRecord) -> None:
    """Writes `trial.json`, which makes the trial complete, and removes what only a running trial needs."""
    files.write_json(folder / "trial.json", record.model_dump(mode="json"))
    for name in ("checkpoint.npz", PROGRESS, *(["traceback.txt"] if record.outcome != "failed" else [])):
        (folder / name).unlink(missing_ok=True)


def _seed_framework(seed: int, epoch: int) -> None:
    """Makes what draws from the framework's own random state, too, depend on (seed, epoch) alone."""
    if keras.backend.backend() == "torch":  # dropout without a seed of its own draws from it, and so do data loaders
        import torch

        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:7], "big"))


def _timing(rows: Sequence[Row], steps: int, seconds: float) -> Timing:
    later = [float(row["seconds"]) for row in rows[1:]]  # the first epoch pays for tracing
    return Timing(
        step_seconds=median(later) / steps if later else None,
        train_seconds=sum(float(row["seconds"]) for row in rows),
        trial_seconds=seconds,
    )


def _device(count: int) -> str:
    kind = _kind_of_device()
    name = f"{kind} ({platform.machine()})" if kind.lower() == "cpu" else kind
    return f"{count} × {name}" if count > 1 else name


def _kind_of_device() -> str:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "CPU"
