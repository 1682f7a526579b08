"""Medians with the middle half of the rounds, and ratios of arms that were timed in the same rounds."""

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median and quartiles: half of the values lie between `low` and `high`."""
    low, middle, high = quantiles(values, n=4, method="inclusive") if len(values) > 1 else [median(values)] * 3
    return {"median": middle, "low": low, "high": high}


def ratio(above: Sequence[float], below: Sequence[float]) -> dict[str, Any]:
    """Spread of the ratios of the rounds, which a drift from round to round leaves as they are."""
    return spread([a / b for a, b in zip(above, below, strict=True)])
