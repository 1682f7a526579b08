"""What is known of a population from its batches: count, mean and squared deviations, in float64.

Batches are merged by the formula of Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", so that
the result is that of all values at once, however they were divided: the law of total variance, weighted by count.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Population:
    """The values that a normalization has met, channel by channel.

    Attributes:
        count: Values per channel.
        mean: Shape (channels,).
        deviations: The sum of squared deviations from the mean, shape (channels,).
    """

    count: float
    mean: Any
    deviations: Any

    @classmethod
    def empty(cls, channels: int) -> "Population":
        """One of no values yet."""
        return cls(0.0, np.zeros(channels), np.zeros(channels))

    @classmethod
    def of_row(cls, row: Any) -> "Population":
        """One from the row that it was sent as."""
        channels = len(row) // 2
        return cls(float(row[0]), row[1 : channels + 1], row[channels + 1 :])

    @property
    def variance(self) -> Any:
        """The biased one, as everywhere in batch normalization."""
        return self.deviations / max(self.count, 1.0)

    @property
    def row(self) -> Any:
        """As one row of numbers, to be sent."""
        return np.concatenate([[self.count], self.mean, self.deviations])

    def add(self, other: "Population") -> None:
        """Takes the values of another one in."""
        if not other.count:
            return
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite is reported by name, later
            total = self.count + other.count
            apart = other.mean - self.mean
            self.mean = self.mean + apart * (other.count / total)
            self.deviations = self.deviations + other.deviations + apart**2 * (self.count * other.count / total)
            self.count = total

    def is_finite(self) -> bool:
        """Whether both moments are numbers."""
        return bool(np.isfinite(self.mean).all() and np.isfinite(self.deviations).all())
