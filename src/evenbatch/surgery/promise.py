"""The check of what surgery promises: that a new model is the old one, but for the layers that were exchanged.

Structure and weights are compared as they are, each exchanged layer by itself on numbers of its own, and then the
outputs of the whole. All of it, because the outputs alone tell little: those of a deep net hardly depend on its inputs.
"""

import math
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from evenbatch.errors import BrokenPromise
from evenbatch.sites import Site, sites
from evenbatch.surgery.probe import probe_inputs
from evenbatch.surgery.state import Pair

_TOLERANCES = {"float64": 1e-6, "float32": 1e-4}
_TOLERANCE_OF_16_BITS = 2e-2
"""The largest difference of outputs, relative to the largest of their values, that rounding brings about in a net."""

_PLEASE = "it was not handed out; please report this, with the model's summary()"


def check(model: Any, new: Any, exchanged: Iterable[Pair], variables: Iterable[Pair]) -> float | None:
    """Compares a model with the one that was made of it.

    Args:
        model: The given model.
        new: The one that was made.
        exchanged: Layers that were exchanged, and those in their places.
        variables: Variables, and those that have their values.

    Returns:
        The largest difference of the outputs in inference, relative to their size; None where no made-up inputs fit.

    Raises:
        BrokenPromise: they are not the same.
    """
    _require_equal_structure(sites(model), sites(new))
    for variable, twin in variables:
        if not np.array_equal(_array(variable), _array(twin), equal_nan=True):
            raise BrokenPromise(f"the new model has another value of {variable.path}; {_PLEASE}")
    for layer, twin in exchanged:
        _require_equal_layers(layer, twin)
    return _difference_of_outputs(model, new)


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
    """Compares two layers in inference on a few random numbers, two along each axis but the channels'."""
    shape = [2] * layer.input_spec.ndim
    shape[layer.axis] = layer.moving_mean.shape[0]
    x = keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=shape).astype("float32"))
    with keras.StatelessScope():
        difference = _relative(layer(x, training=False), twin(x, training=False))
    if not difference <= _tolerance(layer.compute_dtype):
        raise BrokenPromise(f"{layer.path or layer.name}: the new layer computes something else; {_PLEASE}")


def _difference_of_outputs(model: Any, new: Any) -> float | None:
    inputs, outputs = probe_inputs(model)
    if inputs is None:
        return None
    with keras.StatelessScope():  # so that neither model's state moves
        found = new(inputs, training=False)
    largest = 0.0
    for one, other in zip(keras.tree.flatten(outputs), keras.tree.flatten(found), strict=True):
        difference = _relative(one, other)
        if not difference <= _tolerance(keras.backend.standardize_dtype(one.dtype)):
            raise BrokenPromise(f"an output of the new model differs by {difference:.1e} of its size; {_PLEASE}")
        largest = max(largest, difference)
    return largest


def _relative(one: Any, other: Any) -> float:
    """The largest difference over the largest value; infinite where one is finite and the other is not."""
    a, b = (np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(t, "float32")), np.float64) for t in (one, other))
    if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return math.inf
    difference = np.abs(a - b)[np.isfinite(a)].max(initial=0.0)
    size = np.abs(a[np.isfinite(a)]).max(initial=0.0)
    return float(difference / size) if size else (0.0 if difference == 0 else math.inf)


def _tolerance(dtype: str) -> float:
    return _TOLERANCES.get(dtype, _TOLERANCE_OF_16_BITS)


def _array(variable: Any) -> Any:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
