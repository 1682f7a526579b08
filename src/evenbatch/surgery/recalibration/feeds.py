"""Batches of the user's data brought into the form in which the model takes them.

What belongs to the inputs of a batch is decided by the number n of the model's inputs:

- a dict holds the inputs by name;
- a tuple or list of two or three whose first entry is a dict, tuple or list is (inputs, targets[, weights]);
- where n is 1, a tuple or list is (x,), (x, y) or (x, y, weights);
- where n is more, a tuple or list of n arrays is the inputs;
- anything else is an array, the one input.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch import graph
from evenbatch.errors import InvalidData
from evenbatch.surgery.probe import specs

_GROUPS = (dict, tuple, list)


class Feeds:
    """What a model takes.

    Attributes:
        count: How many inputs; 1 where nobody knows.

    Args:
        model: A built model.
        values: The values of its program that the inputs are: one for each input, or one for all of them together where
            no graph tells of them.
    """

    def __init__(self, model: Any, values: list[Any]) -> None:
        self._values = values
        self._structure = specs(model)
        self._tensors = keras.tree.flatten(self._structure) if self._structure is not None else []
        self.count = len(self._tensors) or 1
        self._is_known = graph.is_functional(model) or graph.graph_of(model) is not None
        self._in_graph = graph.graph_of(model) is not None
        entries = self._structure.values() if isinstance(self._structure, dict) else ()
        self._is_nested = any(isinstance(one, _GROUPS) for one in entries)

    def inputs(self, batch: Any) -> Any:
        """The inputs among what a batch holds.

        Raises:
            InvalidData: it holds something else.
        """
        n = self.count
        if not isinstance(batch, tuple | list):
            return batch
        if 1 < len(batch) <= 3 and isinstance(batch[0], _GROUPS):
            return batch[0]
        if n == 1 and 1 <= len(batch) <= 3:
            return batch[0]
        if n == len(batch):
            return tuple(batch)
        raise InvalidData(
            f"data must hold {_inputs(n)} a batch, as {'x or (x, y)' if n == 1 else 'a dict or tuple of them'}, and "
            f"targets after them, received a {type(batch).__name__} of {len(batch)}; give ((inputs), targets), or the "
            "inputs alone"
        )

    def values(self, inputs: Any) -> dict[Any, Any]:
        """The inputs as the values of the program.

        Raises:
            InvalidData: they have other names or shapes than the model's.
        """
        if not self._is_known:
            return {self._values[0]: mapped(as_array, inputs)}
        found = [_fitting(as_array(x), spec) for x, spec in zip(self._in_order(inputs), self._tensors, strict=True)]
        if self._in_graph:
            return dict(zip(self._values, found, strict=True))
        return {self._values[0]: keras.tree.pack_sequence_as(self._structure, found)}

    def _in_order(self, inputs: Any) -> list[Any]:
        """The inputs in the order of the model's."""
        if isinstance(inputs, dict) and not self._is_nested:
            names = self._names()
            if missing := [name for name in names if name not in inputs]:
                raise InvalidData(
                    f"data must hold the model's inputs by name, {', '.join(map(repr, names))}, received a dict with "
                    f"{', '.join(map(repr, inputs)) or 'nothing'}; {', '.join(map(repr, missing))} is missing"
                )
            return [inputs[name] for name in names]
        flat: list[Any] = keras.tree.flatten(inputs)
        if len(flat) != len(self._tensors):
            raise InvalidData(
                f"data must hold {_inputs(len(self._tensors))} a batch, as the model takes, received {len(flat)}; give "
                "them as a dict or a tuple"
            )
        return flat

    def _names(self) -> list[str]:
        """What the entries of a dict are called, in the order of the model's inputs."""
        if isinstance(self._structure, dict):
            flat: list[str] = keras.tree.flatten({name: name for name in self._structure})
            return flat
        return [tensor.name for tensor in self._tensors]


def mapped(function: Callable[[Any], Any], inputs: Any) -> Any:
    """The same structure of inputs, each put through a function."""
    if isinstance(inputs, dict):
        return {name: mapped(function, one) for name, one in inputs.items()}
    if isinstance(inputs, tuple | list):
        return tuple(mapped(function, one) for one in inputs)
    return function(inputs)


def examples(inputs: Any) -> int:
    """How many examples a batch of inputs holds.

    Raises:
        InvalidData: it holds no array.
    """
    flat = keras.tree.flatten(inputs)
    shape = tuple(getattr(flat[0], "shape", ())) if flat else ()
    if not shape:
        raise InvalidData(
            "data must hold batches of examples, arrays with an axis in front for them, received "
            f"{type(flat[0]).__name__ if flat else 'nothing'} without an axis"
        )
    return int(shape[0])


def bytes_of(tensor: Any) -> int:
    """The memory that an array or a tensor takes."""
    if isinstance(tensor, np.ndarray):
        return int(tensor.nbytes)
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    size = 2 if dtype == "bfloat16" else 64 if dtype == "string" else np.dtype(dtype).itemsize
    return int(math.prod(tensor.shape)) * int(size)


def _inputs(n: int) -> str:
    return "one input" if n == 1 else f"{n} inputs"


def as_array(x: Any) -> Any:
    """A tensor of the backend's as it is, anything else as a NumPy array."""
    if keras.ops.is_tensor(x):
        return x
    x = x.detach().cpu() if hasattr(x, "detach") else x
    try:
        found = np.asarray(x)
    except Exception as error:
        raise InvalidData(
            f"data must hold arrays of numbers, received {type(x).__name__}, which cannot be made one "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
    if found.dtype == object and not all(isinstance(one, str | bytes) for one in found.flat):
        raise InvalidData(
            f"data must hold arrays of numbers, received {type(x).__name__} of other things or of lists of different "
            "lengths; make it an array, or a list of batches that are arrays"
        )
    return found


def _fitting(x: Any, spec: Any) -> Any:
    """The array as a tensor of the input's dtype; an axis of 1 at the end is put on or taken off, as Keras does."""
    shape, wanted = tuple(x.shape), tuple(spec.shape)
    if len(shape) == len(wanted) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    elif len(shape) == len(wanted) - 1 and wanted[-1] == 1:
        shape = (*shape, 1)
    # Not the first: a model that was built on a batch takes others of another size.
    fits = len(shape) == len(wanted) and all(w in (None, n) for n, w in zip(shape[1:], wanted[1:], strict=True))
    if not fits:
        expected = ", ".join("batch" if i == 0 else str(n) for i, n in enumerate(wanted))
        raise InvalidData(
            f"data must hold batches of the shape ({expected}) for the input {spec.name!r}, received "
            f"{tuple(x.shape)}; give examples of the shape that the model was made for"
        )
    try:
        return keras.ops.reshape(keras.ops.convert_to_tensor(x, dtype=spec.dtype), shape)
    except Exception as error:
        raise InvalidData(
            f"data must hold values of the dtype {spec.dtype} for the input {spec.name!r}, received {x.dtype} "
            f"({' '.join(str(error).split())[:200]})"
        ) from error
