"""Checks of what a layer is given: one sentence an argument."""

import math
import operator
from collections.abc import Sequence
from typing import Any

from evenbatch.errors import InvalidArgument


def require_axis(value: Any) -> int:
    """The axis, where it is one integer.

    Raises:
        InvalidArgument: it is not.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise InvalidArgument(
            f"axis must be one integer, the axis of the channels, received {value!r}; "
            "pass axis=-1 for channels last or axis=1 for channels first"
        ) from None


def require_momentum(value: Any) -> float:
    """The momentum, where it is a number from 0 to 1.

    Raises:
        InvalidArgument: it is not.
    """
    number = _number(value)
    if not 0 <= number <= 1:
        raise InvalidArgument(
            f"momentum must be a number from 0 to 1, the share of the moving statistics that a batch leaves in place, "
            f"received {value!r}; PyTorch's momentum of 0.1 is 0.9 here"
        )
    return number


def require_epsilon(value: Any) -> float:
    """The epsilon, where it is a finite number of at least 0.

    Raises:
        InvalidArgument: it is not.
    """
    number = _number(value)
    if not 0 <= number < math.inf:
        raise InvalidArgument(
            f"epsilon must be a finite number of at least 0, received {value!r}; it is added to the variance, "
            "and 0.001 is the default"
        )
    return number


def require_channels(shape: Sequence[int | None] | None, axis: int) -> None:
    """Checks that inputs of this shape have a batch and, at `axis`, a known number of channels.

    Raises:
        InvalidArgument: they have not.
    """
    if shape is None:
        raise InvalidArgument("the number of axes of the inputs must be known when the layer is built, received None")
    rank = len(shape)
    if rank < 2:
        raise InvalidArgument(
            f"inputs must have at least 2 axes, a batch and its channels, received the shape {tuple(shape)}; "
            "add one, for example with keras.ops.expand_dims"
        )
    if not -rank <= axis < rank:
        raise InvalidArgument(
            f"axis must be from {-rank} to {rank - 1} for inputs of the shape {tuple(shape)}, received {axis}"
        )
    if shape[axis] is None:
        raise InvalidArgument(
            f"the number of channels must be known when the layer is built, received the shape {tuple(shape)}, "
            f"which is None at axis {axis}; give that axis a size in keras.Input, or pass the axis of the channels"
        )


def require_mask(mask_shape: Sequence[int | None], shape: Sequence[int | None], axis: int) -> None:
    """Checks that a mask has the shape of the inputs without their channels, or broadcasts to it.

    Raises:
        InvalidArgument: it does not.
    """
    positions = [size for i, size in enumerate(shape) if i != axis % len(shape)]
    fits = len(mask_shape) == len(positions) and all(
        given in (None, 1, size) or size is None for given, size in zip(mask_shape, positions, strict=True)
    )
    if not fits:
        raise InvalidArgument(
            f"mask must have the shape of the inputs without the axis of the channels, {tuple(positions)} for inputs "
            f"of the shape {tuple(shape)} with axis={axis}, received the shape {tuple(mask_shape)}"
        )


def _number(value: Any) -> float:
    try:
        return math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError):
        return math.nan
