"""What a batch normalization is in inference: one multiplication and one addition a channel."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from evenbatch.errors import UnsupportedModel
from evenbatch.surgery import promise

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Affine:
    """`scale * x + shift`, per channel, in float64.

    Attributes:
        scale: Shape (channels,).
        shift: Shape (channels,).
    """

    scale: Array
    shift: Array

    def of(self, first: "Affine") -> "Affine":
        """This one after another."""
        return Affine(self.scale * first.scale, self.scale * first.shift + self.shift)

    def part(self, start: int, size: int) -> "Affine":
        """What it does to `size` channels from `start` on."""
        return Affine(self.scale[start : start + size], self.shift[start : start + size])

    def unshifted(self) -> "Affine":
        """The multiplication alone."""
        return Affine(self.scale, np.zeros_like(self.shift))

    def equals(self, other: "Affine") -> bool:
        """Whether both do the same."""
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.shift, other.shift)

    def keeps_zero(self) -> bool:
        """Whether 0 goes to 0 in every channel, so that a border of zeros stays one."""
        return not self.shift.any()

    def keeps_order(self) -> bool:
        """Whether larger values never become smaller ones, so that the largest stays the largest."""
        return bool((self.scale >= 0).all())


def affine_of(layer: Any, path: str) -> Affine:
    """What a batch normalization computes in inference: Ioffe & Szegedy 2015, algorithm 2, step 11.

    Args:
        layer: A built batch normalization.
        path: Where it stands, for the error.

    Raises:
        UnsupportedModel: its weights or its moving statistics are no numbers, or its variance is negative.
    """
    mean, variance = numbers(layer.moving_mean), numbers(layer.moving_variance) + float(layer.epsilon)
    if (variance <= 0).any():
        raise UnsupportedModel(
            f"{path}: moving_variance + epsilon must be positive, and its smallest value is {variance.min():.3g}; "
            "compute the statistics anew with eb.recalibrate(model, data)"
        )
    beta = numbers(layer.beta) if layer.center else np.zeros_like(mean)
    scale = gamma(layer) / deviation(layer)
    found = Affine(scale, beta - mean * scale)
    if not (np.isfinite(found.scale).all() and np.isfinite(found.shift).all()):
        raise UnsupportedModel(
            f"{path}: its moving statistics or its gamma and beta are not finite, so that there is nothing to fold; "
            "train without NaN, or compute the statistics anew with eb.recalibrate(model, data)"
        )
    return found


def gamma(layer: Any) -> Array:
    """What a normalization multiplies by, 1 where it has no gamma."""
    return numbers(layer.gamma) if layer.scale else np.ones_like(numbers(layer.moving_mean))


def deviation(layer: Any) -> Array:
    """What a normalization divides by in inference."""
    found: Array = np.sqrt(numbers(layer.moving_variance) + float(layer.epsilon))
    return found


def numbers(variable: Any) -> Array:
    """The value of a variable in float64."""
    found: Array = promise.numbers(keras.ops.convert_to_tensor(variable.value))
    return found
