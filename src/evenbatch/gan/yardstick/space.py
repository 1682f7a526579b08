"""The features of one classifier, standardized, and the reference that stands in their space."""

import numpy as np

from evenbatch.gan.yardstick.distances import Array, gaussian


class Space:
    """Standardizes features by mean and deviation of the reference's, feature by feature.

    Without it a distance would be that of the few features with the largest numbers.

    Args:
        features: Of the reference, (n, d).

    Attributes:
        reference: The Gaussian of the reference, standardized.
    """

    def __init__(self, features: Array) -> None:
        self._mean = features.mean(axis=0)
        deviation = features.std(axis=0)
        self._deviation = np.where(deviation > 0, deviation, 1.0)
        self.reference = gaussian(self.standardized(features))

    def standardized(self, features: Array) -> Array:
        """Features (m, d) in the units of the reference."""
        return np.asarray((features - self._mean) / self._deviation)
