"""Checks of what a layer is given: one sentence an argument."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
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


def require_slice_size(value: Any) -> int:
    """The rows of a slice, where they are an integer of at least 2.

    Raises:
        InvalidArgument: they are not.
    """
    size = value if not isinstance(value, bool) and hasattr(value, "__index__") else 0
    if operator.index(size) < 2:
        raise InvalidArgument(
            f"virtual_batch_size must be an integer of at least 2, the rows of the batch that are normalized together, "
            f"received {value!r}; a slice of one row of a dense layer would become beta"
        )
    return operator.index(size)


def refuse(given: Iterable[str], reasons: Mapping[str, str]) -> None:
    """Checks that no argument is given that the layer does not have; `reasons` tells of each why.

    Raises:
        InvalidArgument: one is.
    """
    for name in given:
        if name in reasons:
            raise InvalidArgument(f"{name} is no argument of this layer, {reasons[name]}; leave it out")


def require_batch_in_front(shape: Sequence[int | None], axis: int, why: str) -> None:
    """Checks that the first axis of inputs of this shape is not the one of the channels.

    Raises:
        InvalidArgument: it is.
    """
    if axis % len(shape) == 0:
        raise InvalidArgument(
            f"axis must not be the first one of the inputs, {why}, received axis={axis} for the shape {tuple(shape)}; "
            "move the channels behind it with keras.ops.moveaxis"
        )


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


def require_same_channels(shape: Sequence[int | None], built_for: Sequence[int | None], axis: int) -> None:
    """Checks that inputs of this shape have the rank and the channels of those that the layer was built for.

    Raises:
        InvalidArgument: they have not.
    """
    if len(shape) != len(built_for) or shape[axis] != built_for[axis]:
        raise InvalidArgument(
            f"inputs must have {len(built_for)} axes and {built_for[axis]} channels at axis {axis}, as when the layer "
            f"was built, received the shape {tuple(shape)}; make another layer for them"
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
