"""The statistics of a study: numbers in, numbers out.

A missing result is `None`. An interval is two-sided with 95 %; it is `None` where there are too few values for one.
"""

import itertools
import warnings
from collections.abc import Sequence
from math import inf, isfinite
from statistics import mean, median, stdev
from typing import Any

import numpy as np
from scipy import stats

LEVEL = 0.95
MOST_EXACT = 20  # seeds up to which every sign pattern is counted: 2^20, about a million
RANDOM_PATTERNS = 100_000
Interval = tuple[float, float] | None


def t_interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean."""
    if len(values) < 2:
        return None
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stdev(values) / len(values) ** 0.5
    return mean(values) - float(half), mean(values) + float(half)


def bca_interval(values: Sequence[float]) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean (Efron 1987), always with the same draws."""
    if len(values) < 3 or len(set(values)) == 1:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # degenerate resamples end as an interval that is not finite
        found = stats.bootstrap(
            (np.asarray(values),),
            np.mean,
            confidence_level=LEVEL,
            n_resamples=9999,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    low, high = float(found.low), float(found.high)
    return (low, high) if isfinite(low) and isfinite(high) else None


def sign_flip_p(differences: Sequence[float]) -> float | None:
    """The exact two-sided p of the sign-flip test: the share of sign patterns whose mean is at least as far from zero.

    With n differences it is never below 2 / 2^n: five pairs cannot reach 0.05. Above `MOST_EXACT` differences, 100,000
    random patterns stand for all of them.
    """
    n = len(differences)
    if n == 0:
        return None
    values = np.asarray(differences, dtype="float64")
    if n <= MOST_EXACT:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    else:
        signs = np.random.default_rng(0).choice([-1.0, 1.0], size=(RANDOM_PATTERNS, n))
        sums = np.append(signs @ values, values.sum())
    observed = abs(values.sum())
    rounding = 1e-9 * np.abs(values).sum()  # sums of the same numbers in another order differ by less
    return float(np.mean(np.abs(sums) >= observed - rounding))


def _smallest_p(n: int) -> float:
    return 2 / 2**n if n <= MOST_EXACT else 1 / (RANDOM_PATTERNS + 1)


def wilson_interval(count: int, n: int) -> Interval:
    """Wilson's interval of a rate."""
    if n == 0:
        return None
    found = stats.binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def distribution(values: Sequence[float | None]) -> dict[str, Any]:
    """Count, mean, median, standard deviation, extremes and interval of the values that are there."""
    there = [value for value in values if value is not None and isfinite(value)]
    if not there:
        return {"n": 0, "mean": None, "median": None, "sd": None, "min": None, "max": None, "interval": None}
    return {
        "n": len(there),
        "mean": mean(there),
        "median": median(there),
        "sd": stdev(there) if len(there) > 1 else None,
        "min": min(there),
        "max": max(there),
        "interval": t_interval(there),
    }


def paired(arm: Sequence[float | None], baseline: Sequence[float | None]) -> dict[str, Any]:
    """The differences `arm - baseline`, seed by seed, over the seeds that have both, and both means over these."""
    differences = [
        None if a is None or b is None or not isfinite(a - b) else a - b for a, b in zip(arm, baseline, strict=True)
    ]
    there = [difference for difference in differences if difference is not None]
    return {
        "differences": differences,
        "n": len(there),
        "mean": mean(there) if there else None,
        "median": median(there) if there else None,
        "arm_mean": _mean_of_pairs(arm, differences),
        "baseline_mean": _mean_of_pairs(baseline, differences),
        "t_interval": t_interval(there),
        "bca_interval": bca_interval(there),
        "sign_flip_p": sign_flip_p(there),
        "smallest_p": _smallest_p(len(there)) if there else None,
        "above": sum(difference > 0 for difference in there),
        "equal": sum(difference == 0 for difference in there),
        "below": sum(difference < 0 for difference in there),
    }


def _mean_of_pairs(values: Sequence[float | None], differences: Sequence[float | None]) -> float | None:
    paired_values = [value for value, d in zip(values, differences, strict=True) if value is not None and d is not None]
    return mean(paired_values) if paired_values else None


def reaching(times: Sequence[float], budget: int) -> dict[str, Any]:
    """Times to a threshold, right-censored at the budget: a time of infinity is "not reached".

    The median counts the censored ones as later than all others, and is `None` where it falls among them. The
    restricted mean counts each as the budget.
    """
    middle = median(times) if times else inf
    return {
        "n": len(times),
        "reached": sum(isfinite(time) for time in times),
        "median": middle if isfinite(middle) else None,
        "restricted_mean": mean(min(time, budget) for time in times) if times else None,
        "times": [time if isfinite(time) else None for time in times],
    }


def faster(pairs: Sequence[tuple[float, float]]) -> dict[str, int]:
    """In how many pairs the first was earlier, equal (both not reached included) or later than the second."""
    return {
        "earlier": sum(a < b for a, b in pairs),
        "equal": sum(a == b for a, b in pairs),
        "later": sum(a > b for a, b in pairs),
    }


def total_variation(values: Sequence[float | None]) -> float | None:
    """Sum of the absolute changes from one epoch to the next."""
    steps = _changes(values)
    return None if steps is None else sum(map(abs, steps))


def rises(values: Sequence[float | None]) -> float | None:
    """Sum of the upward changes alone: the part of the total variation that is not descent."""
    steps = _changes(values)
    return None if steps is None else sum(step for step in steps if step > 0)


def _changes(values: Sequence[float | None]) -> list[float] | None:
    there = [value for value in values if value is not None]
    if len(there) < 2 or len(there) < len(values):
        return None
    return [b - a for a, b in itertools.pairwise(there)]
