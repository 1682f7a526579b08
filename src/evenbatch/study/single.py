"""One trial by itself, in this process: what `evenbatch train` runs.

Its directory holds `study.json`, `history.csv`, `model.keras`, `trial.json`, `learning-curve.svg` and `.png`, and on request
`tensorboard/`.
"""

from pathlib import Path
from typing import Any, Protocol

from evenbatch.probes.callback import Row, StepCallback
from evenbatch.study import store, trial, worker
from evenbatch.study.run import only_study, provenance
from evenbatch.study.spec import Plan


class Watcher(Protocol):
    """Whoever is told how the training goes on."""

    def begin(self, plan: Plan, folder: Path) -> None:
        """Training begins."""

    def step(self) -> None:
        """An optimizer step is done."""

    def epoch(self, row: Row) -> None:
        """An epoch is done."""


def train(plan: Plan, folder: Path, *, force: bool, tensorboard: bool, watcher: Watcher) -> dict[str, Any]:
    """Trains the first arm of a plan with its first seed and draws the learning curve; a finished one is not trained again.

    Returns:
        The content of `trial.json`, with the last row of history as `last`.

    Raises:
        StudyConflict: the directory holds something else, or another process writes to it.
        StorageError: a file could not be written.
    """
    import keras

    from evenbatch.report import write_learning_curve

    (arm, seed), path = plan.spec.trials()[0], folder / "trial.json"
    with only_study(folder):
        store.claim(folder, plan.spec, provenance(), force=force)
        if not path.exists():
            worker.limit_threads(plan.spec.threads)
            watcher.begin(plan, folder)
            callbacks = [StepCallback(watcher.step)]
            if tensorboard:
                callbacks.append(keras.callbacks.TensorBoard(folder / "tensorboard"))
            trial.run(plan, arm, seed, folder, callbacks=callbacks, on_row=watcher.epoch)
        write_learning_curve(folder)
        return {**store.files.read_json(path), "last": store.files.read_csv(folder / "history.csv")[-1]}
