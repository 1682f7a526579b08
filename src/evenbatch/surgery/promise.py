"""The check of what surgery promises: that a new model is the old one, but for the layers that were exchanged.

Structure and weights are compared as they are, each exchanged layer by itself on numbers of its own, and then the
outputs of the whole. All of it, because the outputs alone tell little: those of one deep net hardly depend on its
inputs, and those of another one change altogether where a weight is rounded.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import keras
import numpy as np

from evenbatch.errors import BrokenPromise
from evenbatch.sites import Site, sites
from evenbatch.surgery.probe import probe_inputs
from evenbatch.surgery.state import Pair

_TOLERANCES = {"float64": 1e-6, "float32": 1e-4}
_TOLERANCE_OF_16_BITS = 2e-2
"""The largest difference of outputs, relative to the largest of their values, that rounding makes in most nets."""

_ROUNDINGS = 30.0
"""In others it is up to so many times what they change by where every weight is rounded once."""

_UNITS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number."""

_PLEASE = "it was not handed out; please report this, with the model's summary()"


class Agreement(NamedTuple):
    """How far the outputs of two models agree in inference, relative to their size.

    Attributes:
        difference: The largest difference; None where no made-up inputs fit the model.
        rounding: By how much rounding every weight once changes the outputs; None where that was not asked for.
    """

    difference: float | None
    rounding: float | None = None


def check(model: Any, new: Any, exchanged: Iterable[Pair], variables: Iterable[Pair]) -> Agreement:
    """Compares a model with the one that was made of it.

    Args:
        model: The given model.
        new: The one that was made.
        exchanged: Layers that were exchanged, and those in their places.
        variables: Variables, and those that have their values.

    Raises:
        BrokenPromise: they are not the same.
    """
    _require_equal_structure(sites(model), sites(new))
    for variable, twin in variables:
        if not np.array_equal(_array(variable), _array(twin), equal_nan=True):
            raise BrokenPromise(f"the new model has another value of {variable.path}; {_PLEASE}")
    for layer, twin in exchanged:
        _require_equal_layers(layer, twin)
    return _agreement_of_outputs(model, new)


def _require_equal_structure(before: list[Site], after: list[Site]) -> None:
    if _outline(before) != _outline(after):
        raise BrokenPromise(f"the new model has another structure than the given one; {_PLEASE}")


def _outline(found: list[Site]) -> list[Any]:
    return [
        (site.path, site.uses, site.leads_out, _paths(site.producers), sorted(_paths(site.consumers))) for site in found
    ]


def _paths(found: list[Site]) -> list[str]:
    return [site.path for site in found]


def _require_equal_layers(layer: Any, twin: Any) -> None:
    """Compares two layers in inference on a few random numbers, two along each axis but the channels'.

    In inference a channel is a straight line, so that two numbers tell all of it.
    """
    shape = [2] * layer.input_spec.ndim
    shape[layer.axis] = layer.moving_mean.shape[0]
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))
    with keras.StatelessScope():
        found = [np.moveaxis(_numbers(one(x, training=False)), layer.axis, 0) for one in (layer, twin)]
    difference = max(map(_relative, *found), default=0.0)
    if not difference <= _tolerance(layer.compute_dtype):
        raise BrokenPromise(f"{layer.path or layer.name}: the new layer computes something else; {_PLEASE}")


def _agreement_of_outputs(model: Any, new: Any) -> Agreement:
    inputs, outputs = probe_inputs(model)
    if inputs is None:
        return Agreement(None)
    with keras.StatelessScope():  # so that neither model's state moves
        found = new(inputs, training=False)
    difference = _largest(outputs, found)
    dtypes = [keras.backend.standardize_dtype(one.dtype) for one in keras.tree.flatten(outputs)]
    if difference <= min(map(_tolerance, dtypes), default=0.0):
        return Agreement(difference)
    rounding = _effect_of_rounding(model, inputs, outputs)
    if not difference <= max(max(map(_tolerance, dtypes)), _ROUNDINGS * rounding):
        raise BrokenPromise(f"an output of the new model differs by {difference:.1e} of its size; {_PLEASE}")
    return Agreement(difference, rounding)


def _effect_of_rounding(model: Any, inputs: Any, outputs: Any) -> float:
    """By how much the outputs change where every weight does, by a unit in the last place of what is computed in."""
    draw = np.random.default_rng(0)
    unit = max(_UNITS.get(getattr(site.layer, "compute_dtype", ""), 0.0) for site in sites(model))
    rounded = [
        (variable, _numbers(variable.value) * (1 + unit * draw.choice([-1.0, 1.0], tuple(variable.shape))))
        for variable in model.variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]
    with keras.StatelessScope(state_mapping=rounded):
        return _largest(outputs, model(inputs, training=False))


def _largest(ones: Any, others: Any) -> float:
    pairs = zip(keras.tree.flatten(ones), keras.tree.flatten(others), strict=True)
    return max((_relative(_numbers(one), _numbers(other)) for one, other in pairs), default=0.0)


def _relative(a: Any, b: Any) -> float:
    """The largest difference over the largest value; infinite where one is finite and the other is not."""
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    difference = np.abs(a - b)[np.isfinite(a)].max(initial=0.0)
    size = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    return float(difference / size) if size else (0.0 if difference == 0 else math.inf)


def _tolerance(dtype: str) -> float:
    return _TOLERANCES.get(dtype, _TOLERANCE_OF_16_BITS)


def _numbers(tensor: Any) -> Any:
    """float64, of any dtype that a tensor has."""
    is_float64 = keras.backend.standardize_dtype(tensor.dtype) == "float64"
    wide = tensor if is_float64 else keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(wide), np.float64)


def _array(variable: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
