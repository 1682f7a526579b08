"""One trial by itself, in this process: what `evenbatch train` runs.

Its directory holds `study.json`, `history.csv`, `model.keras`, `trial.json`, `learning-curve.svg` and `.png`, and on
request `tensorboard/`; of a GAN `generator.keras`, `discriminator.keras`, `grids/` and `summary.json`.
"""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

from evenbatch import files
from evenbatch.callbacks import Row, StepCallback
from evenbatch.errors import MissingExtra
from evenbatch.report import write_learning_curve
from evenbatch.study import locks, store, trial
from evenbatch.study.generator_summary import generator_summary
from evenbatch.study.judging import with_judge
from evenbatch.study.locks import only_writer
from evenbatch.study.run import provenance
from evenbatch.study.spec import Plan
from evenbatch.study.threads import limit_threads


class Watcher(Protocol):
    """Whoever is told how the training goes on."""

    def note(self, text: str) -> None:
        """Something that takes a while begins, before the training does."""

    def begin(self, plan: Plan, folder: Path) -> None:
        """Training begins."""

    def step(self) -> None:
        """An optimizer step is done."""

    def epoch(self, row: Row) -> None:
        """An epoch is done."""


def train(plan: Plan, folder: Path, *, force: bool, tensorboard: bool, watcher: Watcher) -> dict[str, Any]:
    """Trains the first arm of a plan with its first seed, unless it is complete, and draws the learning curve.

    Returns:
        The content of `trial.json`, with the last row of history as `last`.

    Raises:
        MissingExtra: TensorBoard logs are asked for and it is not installed.
        StudyConflict: the directory holds something else, or another process writes to it.
        StorageError: a file could not be written.
    """
    (arm, seed), path = plan.spec.trials()[0], folder / "trial.json"
    if tensorboard:
        _require_tensorboard()
    with only_writer(folder, locks.STUDY):
        store.require_free_or_same(folder, plan.spec, force=force)
        if force or not path.exists():
            plan = with_judge(plan, watcher)
        store.claim(folder, plan.spec, provenance(), force=force)
        if not path.exists():
            limit_threads(plan.spec.threads_of_a_process)
            watcher.begin(plan, folder)
            callbacks = [StepCallback(watcher.step), *([_tensorboard(folder)] if tensorboard else [])]
            trial.run(plan, arm, seed, folder, callbacks=callbacks, on_row=watcher.epoch)
        if plan.spec.adversarial is not None:
            files.write_json(folder / "summary.json", generator_summary(folder, plan.spec))
        write_learning_curve(folder)
        return {**files.read_json(path), "last": files.read_csv(folder / "history.csv")[-1]}


def _require_tensorboard() -> None:
    for name in ("tensorboard", "tensorflow"):  # Keras' callback writes through TensorFlow on every backend
        if importlib.util.find_spec(name) is None:
            raise MissingExtra(
                f"TensorBoard logs need {name!r}, which is not installed: pip install 'evenbatch[tensorboard]'"
            )


def _tensorboard(folder: Path) -> Any:
    import keras

    return keras.callbacks.TensorBoard(folder / "tensorboard")
