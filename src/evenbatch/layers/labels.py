"""Inputs with a class label each: what they must be, and whether their values can be looked at."""

from typing import Any

import keras
from keras import ops

from evenbatch.errors import InvalidArgument


def require_pair(inputs: Any) -> tuple[Any, Any]:
    """Inputs and labels, or their shapes, where they are two.

    Raises:
        InvalidArgument: they are not.
    """
    if not isinstance(inputs, (list, tuple)) or len(inputs) != 2:
        is_some = isinstance(inputs, (list, tuple, dict))
        received = f"a {type(inputs).__name__} of {len(inputs)}" if is_some else "one tensor"
        raise InvalidArgument(
            f"inputs must be two tensors, the inputs and the label of each, received {received}; "
            "call the layer as layer([x, labels])"
        )
    return inputs[0], inputs[1]


def require_pair_of_shapes(input_shape: Any) -> tuple[Any, Any]:
    """The shapes of inputs and labels, where they are two.

    Raises:
        InvalidArgument: they are not.
    """
    is_one = input_shape is None or any(size is None or isinstance(size, int) for size in input_shape)
    return require_pair(None if is_one else input_shape)


def require_labels(labels: Any, shape: Any) -> None:
    """Checks that there is one integer for each row of inputs of this shape, as far as shapes are known.

    Raises:
        InvalidArgument: there is not.
    """
    dtype = keras.backend.standardize_dtype(labels.dtype)
    if not keras.backend.is_int_dtype(dtype):
        raise InvalidArgument(
            f"labels must be integers, received the dtype {dtype}; pass classes, "
            "not probabilities, and of a symbolic input keras.Input((), dtype='int32')"
        )
    require_shape_of_labels(labels.shape, shape)


def require_shape_of_labels(label_shape: Any, shape: Any) -> None:
    """Checks the shape alone.

    Raises:
        InvalidArgument: it is none of one label for each row.
    """
    fits = len(label_shape) == 1 or (len(label_shape) == 2 and label_shape[1] in (1, None))
    if not fits or (None not in (label_shape[0], shape[0]) and label_shape[0] != shape[0]):
        rows = "batch" if shape[0] is None else shape[0]
        raise InvalidArgument(
            f"labels must have the shape ({rows},) or ({rows}, 1), one for each row of the inputs of the shape "
            f"{tuple(shape)}, received the shape {tuple(label_shape)}"
        )


def widened(labels: Any) -> Any:
    """The labels in a dtype that holds the number of classes too, which a small one would wrap around."""
    is_small = keras.backend.standardize_dtype(labels.dtype) in ("int8", "uint8", "int16", "uint16")
    return ops.cast(labels, "int32") if is_small else labels


def require_in_range(labels: Any, num_classes: int) -> None:
    """Checks that every label is the number of a class, where their values are there to be looked at.

    Raises:
        InvalidArgument: one is not.
    """
    if not _have_values(labels):
        return
    values = ops.convert_to_numpy(labels)
    outside = values[(values < 0) | (values >= num_classes)]
    if outside.size:
        raise InvalidArgument(
            f"labels must be from 0 to {num_classes - 1} where num_classes is {num_classes}, received {outside[0]}; "
            "give the layer as many classes as there are"
        )


def _have_values(labels: Any) -> bool:
    """Whether the labels are numbers by now, and not what a graph or a compiler is told of them."""
    name = keras.backend.backend()
    if name == "tensorflow":
        import tensorflow as tf

        return bool(tf.executing_eagerly())
    if name == "jax":
        import jax

        return not isinstance(labels, jax.core.Tracer)
    import torch

    is_real = type(labels) in (torch.Tensor, torch.nn.Parameter) and labels.device.type != "meta"
    return bool(is_real and not (torch.compiler.is_compiling() or torch.jit.is_tracing()))
