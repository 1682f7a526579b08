"""The statistics that a normalization keeps: put in as those of a population, and compared with what was there."""

from typing import Any

import numpy as np

from evenbatch.surgery import promise
from evenbatch.surgery.recalibration.population import Population

_NAMES = ("moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev", "moving_weight")


def variables(layer: Any) -> list[Any]:
    """The variables that statistics stand in, in the order of `_NAMES`, as far as the layer has them."""
    return [found for name in _NAMES if (found := getattr(layer, name, None)) is not None]


def put_in(layer: Any, population: Population) -> None:
    """Gives a layer the statistics of a population; with none of its values, it keeps its own.

    With renorm, what training corrects by are these, too. What `debias` counts is then complete.
    """
    if not population.count:
        return
    mean, variance = population.mean, population.variance
    deviation = np.sqrt(variance + layer.epsilon)  # as Keras' renorm has it
    values = {"moving_mean": mean, "moving_variance": variance, "moving_stddev": deviation}
    values |= {"renorm_mean": mean, "renorm_stddev": deviation, "moving_weight": np.ones(2)}
    for name, value in values.items():
        if (variable := getattr(layer, name, None)) is not None:
            variable.assign(value.astype("float64" if variable.dtype == "float64" else "float32"))


def moved(layer: Any, population: Population) -> tuple[float | None, tuple[float, float] | None]:
    """How far a population is from the statistics of the layer that was given.

    Returns:
        The largest distance of a mean, in standard deviations, and the lowest and the highest ratio of variances.
    """
    mean, variance = (promise.numbers(one.value) for one in (layer.moving_mean, layer.moving_variance))
    with np.errstate(all="ignore"):
        distance = np.abs(population.mean - mean) / np.sqrt(population.variance + layer.epsilon)
        ratio = population.variance / variance
    far = float(distance.max(initial=0.0))
    ends = float(ratio.min(initial=np.inf)), float(ratio.max(initial=0.0))
    return far if np.isfinite(far) else None, ends if np.isfinite(ends).all() else None
