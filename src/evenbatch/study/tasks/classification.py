"""A network that tells classes apart: trained on labels, validated in every epoch."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from evenbatch import files
from evenbatch.datasets import Part
from evenbatch.probes.variance_shift import variance_shift
from evenbatch.sharing import local_statistics
from evenbatch.study.batches import Course, Labelled
from evenbatch.study.network import built
from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.tasks.task import Row, Task

EVALUATION_BATCH = 1024  # inference does not depend on the batch, so validation runs in large ones
PROBED_EXAMPLES = 2000


class Classification(Task):
    """A recipe's network, or one of the user's."""

    def __init__(self, plan: Plan, arm: ArmSpec, seed: int) -> None:
        super().__init__(plan, arm, seed)
        val = plan.dataset.val
        self.validation = {"validation_data": (val.x, val.y), "validation_batch_size": EVALUATION_BATCH}

    def network(self) -> Any:
        """The network of the arm."""
        data, options = self.plan.spec.data, self.plan.spec.options_of(self.arm)
        model = self.plan.build(data.input_shape, data.classes, self.plan.normalize[self.arm.name], **options)
        return built(model, self.plan.dataset)

    def compile(self, model: Any) -> None:
        """With cross-entropy and accuracy."""
        model.compile(
            optimizer=_optimizer(self.plan.spec.optimizer, self.arm.learning_rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )

    def course(self, model: Any) -> Course:
        """Every example once an epoch."""
        return Labelled(self.plan.dataset.train, self.plan.spec.batch_size, self.seed)

    def is_finite(self, row: Row) -> bool:
        """Whether loss and validation loss are numbers."""
        return all(math.isfinite(value) for value in row.values())

    def measured(self, model: Any, row: Row, folder: Path) -> Row:
        """A diverged epoch has no accuracy: of outputs that are no numbers Keras' metric takes class 0."""
        if self.is_finite(row):
            return row
        return {name: math.nan if name.endswith("accuracy") else value for name, value in row.items()}

    def finish(self, model: Any, rows: Sequence[Row], folder: Path) -> dict[str, Any]:
        """Tests the model and probes it, unless it diverged."""
        diverged = not self.is_finite(rows[-1])
        test = None if self.plan.dataset.test is None or diverged else _evaluate(model, self.plan.dataset.test)
        files.write_whole(folder / "model.keras", model.save)
        with local_statistics():  # the other ranks, where there are some, have ended
            probed = [] if diverged else variance_shift(model, self.plan.dataset.train.x[:PROBED_EXAMPLES])
        if probed:
            files.write_csv(folder / "probes.csv", probed)
        return {"test": test}


task = Classification


def _optimizer(name: str, learning_rate: float) -> Any:
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return keras.optimizers.SGD(learning_rate, momentum=0.9 if name == "momentum" else 0.0)


def _evaluate(model: Any, part: Part) -> dict[str, float | None]:
    found = model.evaluate(part.x, part.y, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}
