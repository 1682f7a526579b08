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
from evenbatch.graph import losses_kept
from evenbatch.sites import Site, sites
from evenbatch.surgery.precision import full_precision
from evenbatch.surgery.probe import probe_inputs
from evenbatch.surgery.state import Pair

_TOLERANCES = {"float64": 1e-6, "float32": 1e-4}
_OF_16_BITS = 2e-2
"""The largest difference of outputs, relative to the largest of their values, that rounding makes in most nets."""

ROUNDINGS = 30.0
"""In others it is up to so many times what they change by where every weight is rounded once."""

_DRAWS = 8
"""Roundings of all weights; in one of them alone, an output that is all of one class may happen to stay so."""

_UNITS = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""The distance from 1 to the next number."""

PLEASE = "it was not handed out; where no class of the model reaches its layers in hidden ways, please report it"


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
    require_equal_values(variables)
    require_nothing_shared(sites(model), sites(new))
    exchanged = [(layer, twin) for layer, twin in exchanged if layer.built]
    of_exchanged = {id(variable) for layer, _ in exchanged for variable in layer.weights}
    with losses_kept(layers_of(model)), full_precision():
        for layer, twin in exchanged:
            _require_equal_layers(layer, twin)
        return agreement_of_outputs(model, new, [pair for pair in variables if id(pair[0]) in of_exchanged])


def require_equal_values(variables: Iterable[Pair]) -> None:
    """Checks that variables and their twins have the same values, to the bit."""
    for variable, twin in variables:
        if not np.array_equal(_array(variable), _array(twin), equal_nan=True):
            raise BrokenPromise(f"the new model has another value of {variable.path}; {PLEASE}")


def _require_equal_structure(before: list[Site], after: list[Site]) -> None:
    if _outline(before) != _outline(after):
        raise BrokenPromise(f"the new model has another structure than the given one; {PLEASE}")


def _outline(found: list[Site]) -> list[Any]:
    return [
        (site.path, site.uses, site.leads_out, _paths(site.producers), sorted(_paths(site.consumers))) for site in found
    ]


def _paths(found: list[Site]) -> list[str]:
    return [site.path for site in found]


def require_nothing_shared(before: list[Site], after: list[Site]) -> None:
    """Checks that no layer belongs to both models."""
    shared = {id(site.layer) for site in before} & {id(site.layer) for site in after}
    for site in after:
        if id(site.layer) in shared:
            raise BrokenPromise(f"{site.path} belongs to the given model and to the new one; {PLEASE}")


def layers_of(model: Any) -> list[Any]:
    """The model and its layers, at any depth."""
    found = [site.layer for site in sites(model) if isinstance(site.layer, keras.layers.Layer)]
    return [model, *(layer for layer in found if layer is not model)]


def _require_equal_layers(layer: Any, twin: Any) -> None:
    """Compares two layers in inference on a few random numbers, two along each axis but the channels'.

    In inference a channel is a straight line, so that two numbers tell all of it.
    """
    shape = [2] * layer.input_spec.ndim
    shape[layer.axis] = layer.moving_mean.shape[0]
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))
    with keras.StatelessScope():
        found = [np.moveaxis(numbers(one(x, training=False)), layer.axis, 0) for one in (layer, twin)]
    difference = max(map(_relative, *found), default=0.0)
    if not difference <= tolerance(layer.compute_dtype):
        raise BrokenPromise(f"{layer.path or layer.name}: the new layer computes something else; {PLEASE}")


def agreement_of_outputs(model: Any, new: Any, drawn: list[Pair], unit: float = 0.0) -> Agreement:
    """Compares the outputs at made-up inputs.

    Args:
        model: The given model.
        new: The new one.
        drawn: Weights and their twins that are others for the while, which tells whether both models use them.
        unit: The relative difference that there may be at any place of the new model; none but a last place by default.

    Raises:
        BrokenPromise: they differ, and by more than such differences at every place make of them.
    """
    inputs, _ = probe_inputs(model)
    if inputs is None:
        return Agreement(None)
    draw = np.random.default_rng(0)
    values = [numbers(variable.value) * draw.uniform(0.8, 1.25, tuple(variable.shape)) for variable, _ in drawn]
    outputs, found = (
        _outputs(one, inputs, [(pair[which], value) for pair, value in zip(drawn, values, strict=True)])
        for which, one in enumerate((model, new))
    )
    difference = _largest(outputs, found)
    dtypes = [keras.backend.standardize_dtype(one.dtype) for one in keras.tree.flatten(outputs)]
    if difference <= min(map(tolerance, dtypes), default=0.0):
        return Agreement(difference)
    rounding, allowed = _effect_of_rounding(model, inputs, unit), max(map(tolerance, dtypes))
    # Where rounding itself goes beyond, the outputs tell nothing: they may be all of one class, and then of another.
    if rounding <= allowed and not difference <= max(allowed, ROUNDINGS * rounding):
        raise BrokenPromise(f"an output of the new model differs by {difference:.1e} of its size; {PLEASE}")
    return Agreement(difference, rounding)


def _effect_of_rounding(model: Any, inputs: Any, unit: float) -> float:
    """By how much the outputs change where every weight does, by that much or a unit in the last place at least."""
    unit = max(unit, unit_of(site.layer for site in sites(model)))
    outputs = _outputs(model, inputs, [])
    draws = (rounded(model.variables, unit, seed) for seed in range(_DRAWS))
    return max(_largest(outputs, _outputs(model, inputs, other)) for other in draws)


def _outputs(model: Any, inputs: Any, state: list[Any]) -> Any:
    """What a model gives in inference with other values of some variables; its own state does not move."""
    with keras.StatelessScope(state_mapping=state):
        return model(inputs, training=False)


def _largest(ones: Any, others: Any) -> float:
    pairs = zip(keras.tree.flatten(ones), keras.tree.flatten(others), strict=True)
    return max((_relative(numbers(one), numbers(other)) for one, other in pairs), default=0.0)


def _relative(a: Any, b: Any) -> float:
    """The largest difference over the largest value; infinite where one is finite and the other is not."""
    if a.dtype != np.float64:
        return 0.0 if np.array_equal(a, b) else math.inf
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    difference = np.abs(a - b)[np.isfinite(a)].max(initial=0.0)
    size = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    return float(difference / size) if size else (0.0 if difference == 0 else math.inf)


def tolerance(dtype: str) -> float:
    """The largest relative difference that rounding makes where numbers of that dtype are computed with."""
    return _TOLERANCES.get(dtype, _OF_16_BITS)


def rounded(variables: Iterable[Any], unit: float, seed: int = 0) -> list[Pair]:
    """Variables with their values moved by one unit in the last place, up or down."""
    draw = np.random.default_rng(seed)
    return [
        (variable, numbers(variable.value) * (1 + unit * draw.choice([-1.0, 1.0], tuple(variable.shape))))
        for variable in variables
        if keras.backend.is_float_dtype(variable.dtype)
    ]


def unit_of(layers: Iterable[Any]) -> float:
    """The coarsest distance from 1 to the next number among what layers compute in."""
    return max((_UNITS.get(getattr(layer, "compute_dtype", ""), 0.0) for layer in layers), default=0.0)


def numbers(tensor: Any) -> Any:
    """float64, of any dtype of numbers; texts as they are."""
    if keras.backend.standardize_dtype(tensor.dtype) == "string":
        return np.asarray(keras.ops.convert_to_numpy(tensor))
    is_float64 = keras.backend.standardize_dtype(tensor.dtype) == "float64"
    wide = tensor if is_float64 else keras.ops.cast(tensor, "float32")
    return np.asarray(keras.ops.convert_to_numpy(wide), np.float64)


def _array(variable: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
