"""What a classifier takes images for: how many classes there are, how evenly, how surely."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PRESENT = 0.1
"""A class is there from this part of an even share on: with ten classes, from 1 % of the images."""


def shares(probabilities: Array) -> Array:
    """For each class, the share of the images that are most probably of it: (classes,), of (n, classes)."""
    classes = probabilities.shape[1]
    return np.asarray(np.bincount(probabilities.argmax(axis=1), minlength=classes) / len(probabilities))


def present(share: Array) -> int:
    """The number of classes that are there."""
    return int((share >= PRESENT / len(share)).sum())


def evenness(share: Array) -> float:
    """The entropy of the shares over that of even ones: 0 for one class alone, 1 for all alike."""
    some = share[share > 0]
    return float(-(some * np.log(some)).sum() / np.log(len(share))) + 0.0  # and no -0


def confidence(probabilities: Array) -> float:
    """The mean probability of the most probable class."""
    return float(probabilities.max(axis=1).mean())
