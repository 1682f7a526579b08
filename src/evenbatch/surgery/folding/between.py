"""Layers that an affine map may be moved through, against the data or with it, without a change of what comes out."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch import graph
from evenbatch.sites import Call
from evenbatch.surgery.folding.affine import Affine
from evenbatch.surgery.folding.refusal import Refused

kl = keras.layers

Placed = tuple[Affine, int]
"""An affine map, and the axis of the channels that it is for."""

_EQUAL = (kl.Identity, kl.Activation)
_DROPOUTS = (kl.Dropout, kl.SpatialDropout1D, kl.SpatialDropout2D, kl.SpatialDropout3D, kl.AlphaDropout)
_RANDOM = (*_DROPOUTS, kl.GaussianDropout, kl.GaussianNoise)
_MEANS = (kl.AveragePooling1D, kl.AveragePooling2D, kl.AveragePooling3D)
_MEANS_OF_ALL = (kl.GlobalAveragePooling1D, kl.GlobalAveragePooling2D, kl.GlobalAveragePooling3D)
_LARGEST = (kl.MaxPooling1D, kl.MaxPooling2D, kl.MaxPooling3D)
_LARGEST_OF_ALL = (kl.GlobalMaxPooling1D, kl.GlobalMaxPooling2D, kl.GlobalMaxPooling3D)
_CHOSEN = (kl.Cropping1D, kl.Cropping2D, kl.Cropping3D, kl.UpSampling1D, kl.UpSampling2D, kl.UpSampling3D)
_PADDED = (kl.ZeroPadding1D, kl.ZeroPadding2D, kl.ZeroPadding3D)

_OVER_PLACES = (*_MEANS, *_MEANS_OF_ALL, *_LARGEST, *_LARGEST_OF_ALL, *_CHOSEN, *_PADDED)


def moved_up(call: Call, placed: Placed) -> list[Placed]:
    """What is to be done to each of the values that a call takes, instead of `placed` to what it gives.

    Raises:
        Refused: it cannot be moved there.
    """
    several = _SEVERAL_INPUTS.get(type(call.site.layer))
    if several is not None:
        return several(call, *placed)
    affine, axis = placed
    _require_passing(call, affine)
    return [(affine, _axis_before(call, axis))]


def moved_down(call: Call, placed: Placed) -> Placed:
    """What is to be done to what a call gives, instead of `placed` to the value that it takes.

    Raises:
        Refused: it cannot be moved there.
    """
    affine, axis = placed
    if type(call.site.layer) is kl.Flatten:
        return _flattened(call, affine, axis)
    _require_passing(call, affine)
    return affine, _axis_after(call, axis)


def _require_passing(call: Call, affine: Affine) -> None:
    """Checks that a layer of one input does to `f(x)` what it does to `x`, in inference."""
    layer, kind = call.site.layer, type(call.site.layer)
    if call.masks:
        raise Refused("is called with a mask")
    if kind in _RANDOM:
        if call.training:
            raise Refused("is called with training=True, and so is random in inference, too")
    elif kind in (*_LARGEST, *_LARGEST_OF_ALL):
        if not affine.keeps_order():
            raise Refused("takes the largest value, which a negative gamma makes the smallest")
    elif kind in _PADDED:
        if not affine.keeps_zero():
            raise Refused("pads with zeros, to which nothing would be added")
    elif kind is kl.Activation and layer.activation is not keras.activations.linear:
        raise Refused(f"applies {getattr(layer.activation, '__name__', 'a function')}, which is not linear")
    elif kind not in (*_EQUAL, *_OVER_PLACES) or _interpolates(layer):
        raise Refused("is no layer that it folds into or moves through")


def _interpolates(layer: Any) -> bool:
    return getattr(layer, "interpolation", "nearest") not in ("nearest", "bilinear")


def _channels(call: Call, rank: int) -> int:
    return 1 if getattr(call.site.layer, "data_format", "") == "channels_first" else rank - 1


def _axis_before(call: Call, axis: int) -> int:
    layer, before, after = call.site.layer, len(call.inputs[0].shape), len(call.gives[0].shape)
    if not isinstance(layer, _OVER_PLACES):
        return axis
    _require_channels(axis, 1 if before != after else _channels(call, after))
    return _channels(call, before)


def _axis_after(call: Call, axis: int) -> int:
    layer, before, after = call.site.layer, len(call.inputs[0].shape), len(call.gives[0].shape)
    if not isinstance(layer, _OVER_PLACES):
        return axis
    _require_channels(axis, _channels(call, before))
    return 1 if before != after else axis


def _require_channels(axis: int, expected: int) -> None:
    if axis != expected:
        raise Refused(f"has its channels along axis {expected}, and not along the normalization's, {axis}")


def _flattened(call: Call, affine: Affine, axis: int) -> Placed:
    shape = [size for size in call.inputs[0].shape[1:] if size is not None]
    if len(shape) < len(call.inputs[0].shape) - 1:
        raise Refused("flattens an input of open size")
    along = [1] * len(shape)
    along[axis - 1] = -1
    moved = [np.broadcast_to(values.reshape(along), shape) for values in (affine.scale, affine.shift)]
    if call.site.layer.data_format == "channels_first" and len(shape) > 1:
        moved = [np.moveaxis(values, 0, -1) for values in moved]  # as the layer does before it flattens
    return Affine(moved[0].reshape(-1), moved[1].reshape(-1)), 1


def _to_each(call: Call, affine: Affine, axis: int) -> list[Placed]:
    _require_one_shape(call)
    return [(affine, axis)] * len(call.inputs)


def _shift_to_the_first(call: Call, affine: Affine, axis: int) -> list[Placed]:
    _require_one_shape(call)
    return [(affine, axis), *[(affine.unshifted(), axis)] * (len(call.inputs) - 1)]


def _require_one_shape(call: Call) -> None:
    if len(call.inputs) < 2:
        raise Refused("adds what is no layer's output")
    if any(value.shape != call.gives[0].shape for value in call.inputs):
        raise Refused("takes inputs of different shapes")


def _divided(call: Call, affine: Affine, axis: int) -> list[Placed]:
    if call.site.layer.axis % len(call.gives[0].shape) != axis:
        return [(affine, axis)] * len(call.inputs)
    found, start = [], 0
    for value in call.inputs:
        size = value.shape[axis]
        if size is None:
            raise Refused("concatenates an open number of channels")
        found.append((affine.part(start, size), axis))
        start += size
    return found


_SEVERAL_INPUTS: dict[type, Callable[[Call, Affine, int], list[Placed]]] = {
    **dict.fromkeys((kl.Add, kl.Subtract, *graph.SUMS), _shift_to_the_first),
    kl.Average: _to_each,
    kl.Concatenate: _divided,
}
