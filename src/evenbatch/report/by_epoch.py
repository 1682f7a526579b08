"""Aggregation by epoch, over seeds. Pointwise: each epoch by itself, no smoothing.

A seed counts at an epoch where it has a finite value: a diverged seed drops out, and `n` falls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median, quantiles, stdev

from scipy.special import stdtrit

from evenbatch.report.reading import Trial

LEVEL = 0.95
FEWEST_FOR_QUARTILES = 4  # quartiles of fewer seeds would be made of interpolation alone


@dataclass(frozen=True)
class Point:
    """A centre at an epoch, and the ends of its band: None where `n` is too small for one."""

    epoch: int
    n: int
    center: float
    low: float | None
    high: float | None

    def band(self, scale: float = 1.0) -> dict[str, float | None]:
        """Both ends of the band, times `scale`."""
        ends = {"low": self.low, "high": self.high}
        return {name: None if end is None else scale * end for name, end in ends.items()}


def series(trial: Trial, column: str) -> dict[int, float]:
    """The finite values of a trial's column, by epoch."""
    return {int(row["epoch"]): row[column] for row in trial.history if row.get(column) is not None}


def quartiles(runs: Sequence[dict[int, float]]) -> list[Point]:
    """Median and interquartile range of the runs at each epoch."""
    return [Point(epoch, len(values), median(values), *_quartiles(values)) for epoch, values in _stacked(runs)]


def paired_difference(arm: Sequence[dict[int, float]], baseline: Sequence[dict[int, float]]) -> list[Point]:
    """Mean of `arm - baseline` at each epoch, with Student's 95 % interval of the mean.

    Args:
        arm: A run for each seed.
        baseline: The runs of the same seeds, in the same order; an epoch counts where both have it.
    """
    runs = [
        {epoch: ours[epoch] - theirs[epoch] for epoch in ours.keys() & theirs.keys()}
        for ours, theirs in zip(arm, baseline, strict=True)
    ]
    return [Point(epoch, len(values), mean(values), *_t_interval(values)) for epoch, values in _stacked(runs)]


def _stacked(runs: Sequence[dict[int, float]]) -> list[tuple[int, list[float]]]:
    epochs = sorted({epoch for run in runs for epoch in run})
    return [(epoch, [run[epoch] for run in runs if epoch in run]) for epoch in epochs]


def _quartiles(values: list[float]) -> tuple[float | None, float | None]:
    if len(values) < FEWEST_FOR_QUARTILES:
        return None, None
    low, _, high = quantiles(values, n=4, method="inclusive")
    return low, high


def _t_interval(values: list[float]) -> tuple[float | None, float | None]:
    if len(values) < 2:
        return None, None
    half = float(stdtrit(len(values) - 1, (1 + LEVEL) / 2)) * stdev(values) / len(values) ** 0.5
    return mean(values) - half, mean(values) + half
