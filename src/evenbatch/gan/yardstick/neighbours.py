"""How far images lie from their nearest training image: a generator that copies shows here and in no distance."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 256


class Neighbours:
    """The features (n, d) of training images, made ready for searching.

    The nearest one is searched in float32, by inner products. Its distance is then taken from the difference: as one of
    squares it would be lost in rounding where an image is a copy.
    """

    def __init__(self, features: Array) -> None:
        self._features = np.asarray(features, dtype="float32")
        self._squares = (self._features**2).sum(axis=1)

    def distances(self, features: Array) -> Array:
        """The Euclidean distance of each row of features (m, d) to the nearest training image: (m,) float64."""
        found = np.empty(len(features))
        for start in range(0, len(features), BLOCK):
            block = features[start : start + BLOCK]
            # The row's own square is the same for all candidates.
            apart = self._squares - 2 * (block.astype("float32") @ self._features.T)
            difference = block - self._features[apart.argmin(axis=1)].astype("float64")
            found[start : start + BLOCK] = np.sqrt((difference**2).sum(axis=1))
        return found
