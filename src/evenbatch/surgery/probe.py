"""Inputs that are made up for a model, so that it can be run without data."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np

from evenbatch import graph

_SIZES = (8, 32, 96, 224)
"""Tried in turn for an axis whose size is open, such as the width of an image."""


def probe_inputs(model: Any, batch_size: int = 1) -> tuple[Any, Any]:
    """Random inputs that the model takes, and its outputs for them in inference; None twice where none were found.

    Args:
        model: A built model.
        batch_size: Examples in the batch, where the model leaves that open.
    """
    for inputs in _candidates(model, batch_size):
        try:
            with keras.StatelessScope():  # so that no state of the model moves
                return inputs, model(inputs, training=False)
        except Exception:  # a size that does not fit shows as any error
            continue
    return None, None


def _candidates(model: Any, batch_size: int) -> Iterator[Any]:
    wanted = specs(model)
    if wanted is None:
        return
    is_open = any(None in spec.shape[1:] for spec in keras.tree.flatten(wanted))
    for size in _SIZES if is_open else _SIZES[:1]:
        draw = np.random.default_rng(0)
        make = partial(_values, batch_size=batch_size, size=size, draw=draw)
        yield keras.tree.map_structure(make, wanted)


def specs(model: Any) -> Any:
    """The structure of the model's inputs with a symbolic tensor for each."""
    inner = model if graph.is_functional(model) else graph.graph_of(model)
    if inner is not None:
        return inner.input
    shape = (model.get_build_config() or {}).get("input_shape")
    if shape is None:
        return None
    return keras.tree.map_shape_structure(keras.KerasTensor, shape)


def _values(spec: Any, *, batch_size: int, size: int, draw: np.random.Generator) -> Any:
    shape = [n if n is not None else batch_size if i == 0 else size for i, n in enumerate(spec.shape)]
    if spec.dtype == "string":
        return keras.ops.convert_to_tensor(np.full(shape, "a"))
    if keras.backend.is_float_dtype(spec.dtype):
        return keras.ops.convert_to_tensor(draw.normal(size=shape).astype("float32"), dtype=spec.dtype)
    return keras.ops.convert_to_tensor(draw.integers(0, 2, shape), dtype=spec.dtype)
