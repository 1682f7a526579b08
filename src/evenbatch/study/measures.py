"""What a trial's files say, and what a study asks of them: a number for each measure, from each trial.

A trial that diverged has no final result. One that failed says nothing of its arm.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenbatch.study import store


class TrialFiles:
    """One trial's record and history, and what is read off them."""

    def __init__(self, folder: Path, arm: str, seed: int) -> None:
        self.record = store.read_trial(folder, arm, seed)
        self.rows = store.read_history(folder, arm, seed)
        self.probes = store.read_probes(folder, arm, seed)

    def column(self, name: str) -> list[float | None]:
        """A column of the history, None where it has no number."""
        return [row.get(name) for row in self.rows]

    @property
    def finished(self) -> bool:
        """Whether it came to its end with numbers that are finite."""
        return bool(self.record["outcome"] == "finished")

    @property
    def diverged(self) -> bool:
        """Whether it stopped at a number that was not finite."""
        return bool(self.record["outcome"] == "diverged")

    @property
    def collapsed(self) -> bool:
        """Whether a generator ended with images that are all alike."""
        return self.record.get("collapsed") is not None

    @property
    def counts(self) -> bool:
        """Whether it says anything of its arm: a trial that failed says nothing, one that diverged does."""
        return bool(self.record["outcome"] != "failed")

    def final(self, name: str) -> float | None:
        """A column's last value of a trial that finished."""
        return self.column(name)[-1] if self.finished else None

    def best(self, name: str, best: Callable[..., float | None]) -> float | None:
        """The `max` or `min` of a column, of a trial that diverged too."""
        return best((value for value in self.column(name) if value is not None), default=None)

    def step_seconds(self) -> float | None:
        """Median time of an optimizer step."""
        timing = self.record["timing"] or {}
        return timing.get("step_seconds")


Trials = Mapping[str, list[TrialFiles]]


@dataclass(frozen=True)
class Question:
    """What is asked of every trial of a study.

    Args:
        metric: The column of the histories that decides.
        measures: A number for each trial, by name.
        thresholds: Levels of the metric that arms are timed to.
        context: What else stands at the head of the summary.
        can_collapse: Whether trials are counted that ended with images which are all alike.
        shares_of_time: Shares of a trial's time, by name.
    """

    metric: str
    measures: Mapping[str, Callable[[TrialFiles], float | None]]
    thresholds: list[float]
    context: dict[str, Any]
    can_collapse: bool = False
    shares_of_time: Mapping[str, Callable[[TrialFiles], float | None]] = field(default_factory=dict)
