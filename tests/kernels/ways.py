"""The kernels of the backend in every way in which a user's program may run them."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch import kernels

BACKEND = keras.backend.backend()

# `fused`, `large` and `native` take the way of large tensors for small ones; `dynamic` knows no size but the channels'.
MODES = {
    "tensorflow": ("eager", "graph", "fused", "dynamic", "dynamic fused", "compiled"),
    "jax": ("eager", "large compiled"),
    "torch": ("eager", "native", "traced"),
}[BACKEND]


def normalize_batch(axis: int, epsilon: float) -> Callable[..., list[Any]]:
    """The training forward direction as a function of tensors: output, mean, variance."""

    def function(x: Any, gamma: Any, beta: Any) -> list[Any]:
        y, batch = kernels.normalize_batch(x, gamma, beta, axis, epsilon)
        return [y, batch.mean, batch.variance]

    return function


def moments_and_normalize(axis: int, epsilon: float) -> Callable[..., list[Any]]:
    """The same in two steps, as replicas take it."""

    def function(x: Any, gamma: Any, beta: Any) -> list[Any]:
        batch = kernels.moments(x, axis)
        y = kernels.normalize(x, batch.mean, batch.variance, gamma, beta, axis, epsilon)
        return [y, batch.mean, batch.variance]

    return function


def normalize_masked(axis: int, epsilon: float) -> Callable[..., list[Any]]:
    """The same with a mask."""

    def function(x: Any, gamma: Any, beta: Any, mask: Any) -> list[Any]:
        batch = kernels.masked_moments(x, mask, axis)
        y = kernels.normalize(x, batch.mean, batch.variance, gamma, beta, axis, epsilon)
        return [y, batch.mean, batch.variance, batch.count]

    return function


def normalize_slices(axis: int, epsilon: float, size: int) -> Callable[..., list[Any]]:
    """The training forward direction slice by slice: output, and mean, variance and count of all slices together."""

    def function(x: Any, gamma: Any, beta: Any) -> list[Any]:
        y, parts = kernels.normalize_slices(x, gamma, beta, axis, epsilon, size)
        batch = kernels.merged(parts)
        return [y, batch.mean, batch.variance, keras.ops.convert_to_tensor(batch.count)]

    return function


def normalize_masked_slices(axis: int, epsilon: float, size: int) -> Callable[..., list[Any]]:
    """The same with a mask."""

    def function(x: Any, gamma: Any, beta: Any, mask: Any) -> list[Any]:
        y, parts = kernels.normalize_masked_slices(x, mask, gamma, beta, axis, epsilon, size)
        batch = kernels.merged(parts)
        return [y, batch.mean, batch.variance, batch.count]

    return function


def inference(axis: int, epsilon: float) -> Callable[..., list[Any]]:
    """The inference forward direction as a function of tensors: the output alone."""
    return lambda x, gamma, beta, mean, variance: [kernels.inference(x, mean, variance, gamma, beta, axis, epsilon)]


def gradients(function: Callable[..., list[Any]], times: int = 1) -> Callable[..., list[Any]]:
    """From `function(x, gamma, beta, …)` the gradients of `sum(dy * y)`, as a function of `dy, x, gamma, beta, …`.

    With `times=2` the gradient with respect to x of the sum of the cubed gradient with respect to x.
    """
    return {"tensorflow": _tensorflow_gradients, "jax": _jax_gradients, "torch": _torch_gradients}[BACKEND](
        function, times
    )


def tensor(array: Any) -> Any:
    """The array as the backend's."""
    return keras.ops.convert_to_tensor(array)


def array(tensor: Any) -> Any:
    """The tensor as NumPy's."""
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def run(mode: str, function: Callable[..., list[Any]], arrays: Any, axis: int) -> list[Any]:
    """The arrays that a function of tensors gives."""
    return _RUNNERS[BACKEND](mode, function, arrays, axis)


def _run_tensorflow(mode: str, function: Any, arrays: Any, axis: int) -> list[Any]:
    import tensorflow as tf

    if "dynamic" in mode:
        rank = max(array.ndim for array in arrays)
        signature = [tf.TensorSpec([None] * array.ndim, array.dtype) for array in arrays]
        for i, array in enumerate(arrays):
            if array.ndim == rank:
                sizes = [array.shape[k] if k == axis % rank else None for k in range(rank)]
                signature[i] = tf.TensorSpec(sizes, array.dtype)
        function = tf.function(function, input_signature=signature)
    elif mode != "eager":
        function = tf.function(function, jit_compile=mode == "compiled")
    return [np.asarray(value) for value in function(*map(tf.constant, arrays))]


def _run_jax(mode: str, function: Any, arrays: Any, _: int) -> list[Any]:
    import jax

    function = jax.jit(function) if "compiled" in mode else function
    return [np.asarray(value) for value in function(*map(jax.numpy.asarray, arrays))]


def _run_torch(_: str, function: Any, arrays: Any, __: int) -> list[Any]:
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    return [np.asarray(keras.ops.convert_to_numpy(value)) for value in function(*tensors)]


def _tensorflow_gradients(function: Any, times: int) -> Any:
    import tensorflow as tf

    def first(dy: Any, x: Any, gamma: Any, beta: Any, *rest: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch((x, gamma, beta))
            y = function(x, gamma, beta, *rest)[0]
        return list(tape.gradient(y, [x, gamma, beta], dy))

    def second(dy: Any, x: Any, *rest: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(first(dy, x, *rest)[0] ** 3)
        return [tape.gradient(total, x)]

    return first if times == 1 else second


def _jax_gradients(function: Any, times: int) -> Any:
    import jax

    def first(dy: Any, x: Any, gamma: Any, beta: Any, *rest: Any) -> list[Any]:
        def loss(x: Any, gamma: Any, beta: Any) -> Any:
            return jax.numpy.sum(function(x, gamma, beta, *rest)[0].astype(dy.dtype) * dy)

        return list(jax.grad(loss, argnums=(0, 1, 2))(x, gamma, beta))

    def second(dy: Any, x: Any, *rest: Any) -> list[Any]:
        return [jax.grad(lambda x: jax.numpy.sum(first(dy, x, *rest)[0] ** 3))(x)]

    return first if times == 1 else second


def _torch_gradients(function: Any, times: int) -> Any:
    import torch

    def first(dy: Any, x: Any, gamma: Any, beta: Any, *rest: Any) -> list[Any]:
        leaves = [tensor.detach().requires_grad_() for tensor in (x, gamma, beta)]
        y = function(*leaves, *rest)[0]
        return list(torch.autograd.grad(y, leaves, dy.to(y.dtype)))

    def second(dy: Any, x: Any, gamma: Any, *rest: Any) -> list[Any]:
        leaf, gamma = x.detach().requires_grad_(), gamma.detach().requires_grad_()
        y = function(leaf, gamma, *rest)[0]
        (dx,) = torch.autograd.grad(y, leaf, dy, create_graph=True)
        return list(torch.autograd.grad((dx**3).sum(), leaf))

    return first if times == 1 else second


_RUNNERS = {"tensorflow": _run_tensorflow, "jax": _run_jax, "torch": _run_torch}
