"""How far what a region of a model gives differs before and after: what is multiplied, and what is added."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from evenbatch.sites import Value
from evenbatch.surgery import promise
from evenbatch.surgery.folding.linear import channels, is_linear


def channels_of(value: Value) -> int:
    """The axis of the channels of a value."""
    layer = value.source.layer
    return channels(layer, len(value.shape)) if is_linear(layer) else len(value.shape) - 1


class Difference:
    """How far what is multiplied, and what is added, differ at a value before and after, of each channel.

    Args:
        value: Which.
        before: Tensors, among them its one: a point in the last example, and what is around it in the others.
        after: The same, after.
    """

    def __init__(self, value: Value, before: Mapping[Value, Any], after: Mapping[Value, Any]) -> None:
        axis = channels_of(value)
        both = (np.moveaxis(promise.numbers(known[value]), axis, 0) for known in (before, after))
        (one, zero), (other, other_zero) = ((values[:, :-1], values[:, -1:]) for values in both)
        self._finite = np.isfinite(other).all() and np.isfinite(other_zero).all()
        self._absolute = np.stack([_largest((one - zero) - (other - other_zero)), _largest(zero - other_zero)])
        self._size = np.stack([_largest(one - zero), np.maximum(_largest(one), _largest(zero))])

    def absolute(self) -> Any:
        """The larger of both, shape (channels,): what is rounded at the size of one is rounded in the other, too."""
        return self._absolute.max(0)

    def size(self) -> Any:
        """The largest value of each channel."""
        return self._size.max(0)

    def largest(self) -> float:
        """The largest one, relative to the largest value of its channel."""
        if not self._finite:
            return math.inf
        nothing = np.where(self._absolute > 0, np.inf, 0.0)
        return float(np.divide(self._absolute, self._size, out=nothing, where=self._size > 0).max(initial=0.0))

    def is_within(self, relative: float, absolute: Any) -> bool:
        """Whether each is at most one of both."""
        return bool(self._finite and (self._absolute <= np.maximum(relative * self._size, absolute)).all())


def _largest(values: Any) -> Any:
    """The largest of each channel, the first axis."""
    return np.abs(values).reshape(len(values), -1).max(1, initial=0.0)
