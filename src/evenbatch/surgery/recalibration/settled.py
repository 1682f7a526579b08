"""How many batches are enough: reading stops where the estimates of every layer have settled.

For batches b of n_b values with mean m_b and variance v_b, let w_b = n_b / sum(n), m and v the mean and variance of all
values, and q_b = v_b + (m_b - m)² the mean square that batch b tells, whose weighted mean is v. The standard errors are

    error of m = sqrt(B / (B - 1) · sum(w_b² · (m_b - m)²)),
    error of v = sqrt(B / (B - 1) · sum(w_b² · (q_b - v)²))

over B batches, and a layer has settled where, in every channel, the first is at most `tolerance · sqrt(v)` and the
second at most `tolerance · v`. A channel that does not vary has settled. The errors are those of batches that were
drawn at random: of data that are sorted, the first batches tell little of those to come.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from evenbatch.surgery.recalibration.population import Population

AT_LEAST = 10
"""Batches before which nothing counts as settled."""


class Settled:
    """Follows the batches of every layer.

    Attributes:
        is_reached: Whether the estimates of every layer have settled.
    """

    def __init__(self, tolerance: float) -> None:
        self._tolerance = tolerance
        self._met: dict[int, list[Population]] = {}
        self._batches, self._next = 0, AT_LEAST
        self.is_reached = False

    def after(self, batch: Mapping[int, Population]) -> bool:
        """Whether the estimates have settled after this batch, which is told layer by layer.

        It is looked at after every tenth batch more only, so that looking costs little.
        """
        for layer, values in batch.items():
            self._met.setdefault(layer, []).append(values)
        self._batches += 1
        if self._batches >= self._next:
            self._next = max(self._batches + 1, int(self._batches * 1.1))
            self.is_reached = all(self._has_settled([one for one in met if one.count]) for met in self._met.values())
        return self.is_reached

    def _has_settled(self, met: list[Population]) -> bool:
        if len(met) < 2:
            return not met
        errors, deviation, variance = _errors(met)
        is_constant = variance <= 0
        enough = (errors[0] <= self._tolerance * deviation) & (errors[1] <= self._tolerance * variance)
        return bool((enough | is_constant).all())


def _errors(met: list[Population]) -> tuple[Any, Any, Any]:
    """The standard errors of mean and variance, and the deviation and the variance themselves."""
    counts = np.array([one.count for one in met])
    weights = (counts / counts.sum())[:, None]
    means, variances = np.stack([one.mean for one in met]), np.stack([one.variance for one in met])
    mean = (weights * means).sum(axis=0)
    squares = variances + (means - mean) ** 2
    variance = (weights * squares).sum(axis=0)
    correction = len(met) / (len(met) - 1)
    errors = [
        np.sqrt(correction * (weights**2 * (values - middle) ** 2).sum(axis=0))
        for values, middle in ((means, mean), (squares, variance))
    ]
    return errors, np.sqrt(variance), variance
