"""Derivatives from function values alone, in float64."""

import numpy as np

STEP = 1e-6


def differences(function, x):
    """The gradient of `function`, arrays to a number, by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[place] += step
            ends.append(function(moved))
        gradient[place] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


def drawn(shape, axis):
    rng = np.random.default_rng(0)
    channels = shape[axis]
    x, dy = rng.normal(2, 3, shape), rng.normal(size=shape)
    return x, rng.uniform(0.5, 2, channels), rng.normal(size=channels), dy, rng.random(np.delete(shape, axis)) < 0.6
