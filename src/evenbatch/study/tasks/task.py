"""What every task offers."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evenbatch.study.batches import Course
from evenbatch.study.spec import ArmSpec, Plan

Row = dict[str, Any]
"""An epoch of `history.csv`; what was not measured is None."""


class Task(ABC):
    """What one trial trains.

    Args:
        plan: The study.
        arm: The arm.
        seed: The seed.
    """

    validation: dict[str, Any]
    """What `fit` is told of validation."""

    def __init__(self, plan: Plan, arm: ArmSpec, seed: int) -> None:
        self.plan, self.arm, self.seed = plan, arm, seed
        self.validation = {}

    @abstractmethod
    def network(self) -> Any:
        """The model, built, with the weights that Keras draws."""

    @abstractmethod
    def compile(self, model: Any) -> None:
        """Compiles it."""

    @abstractmethod
    def course(self, model: Any) -> Course:
        """What it is fed."""

    @abstractmethod
    def is_finite(self, row: Row) -> bool:
        """Whether training can go on after an epoch; the same on every rank."""

    def has_result(self, row: Row) -> bool:
        """Whether a trial whose last epoch this is has come to a result."""
        return self.is_finite(row)

    def measured(self, model: Any, row: Row, folder: Path) -> Row:
        """An epoch's row with what else is to be known of it; only where files are written."""
        return row

    @abstractmethod
    def finish(self, model: Any, rows: Sequence[Row], folder: Path) -> dict[str, Any]:
        """Writes the files of a trial that has ended; returns what else its record says."""
