"""TensorFlow: as a graph, eagerly, or compiled by XLA."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from evenbatch.bench import cpu
from evenbatch.bench.backends import Device
from evenbatch.bench.interleave import Call

_EPSILON = 1e-3


def require(mode: str) -> None:
    """Every installation runs every mode."""


def device() -> Device:
    """The first GPU, else the processor."""
    threads = tf.config.threading.get_intra_op_parallelism_threads() or cpu.cores()
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return Device("cpu", cpu.name(), threads)
    return Device("gpu", str(tf.config.experimental.get_device_details(gpus[0]).get("device_name", "GPU")), threads)


def wait(result: object) -> None:
    """Blocks until every device is done."""
    tf.test.experimental.sync_devices()


def copies(elements: int) -> Mapping[str, Call]:
    """Into a new tensor, and in place in one that XLA updates."""
    x, variable = tf.zeros((elements,)), tf.Variable(tf.zeros((elements,)))

    def update() -> Any:
        variable.assign(variable + 1.0)
        return tf.constant(0)  # the variable itself as a result would be copied

    return {"x + 1": _in("graph", lambda x: x + 1.0, x), "x += 1": _in("compiled", update)}


def layer_training(layer: Any, x: Any, upstream: Any, mode: str) -> Call:
    """The layer under a gradient tape."""

    def step(x: Any, upstream: Any) -> Any:
        weights = [layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
        return y, tape.gradient(y, [x, *weights], upstream)

    return _in(mode, step, x, upstream)


def native_training(x: Any, upstream: Any, mode: str) -> Call | None:
    """FusedBatchNormV3 and its registered gradient, without moving statistics."""
    gamma, beta = tf.ones(x.shape[-1]), tf.zeros(x.shape[-1])

    def step(x: Any, upstream: Any, gamma: Any, beta: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, gamma, beta))
            y = _fused(x, gamma, beta, is_training=True)
        return y, tape.gradient(y, [x, gamma, beta], upstream)

    return _in(mode, step, *_images(x, upstream), gamma, beta)


def inference(module: Any, x: Any, mode: str) -> Call:
    """The call with training=False."""
    return _in(mode, lambda x: module(x, training=False), x)


def native_inference(x: Any, mode: str) -> Call | None:
    """FusedBatchNormV3 with the moving statistics."""
    ones, zeros = tf.ones(x.shape[-1]), tf.zeros(x.shape[-1])

    def run(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
        return _fused(x, gamma, beta, mean, variance, is_training=False)

    return _in(mode, run, *_images(x), ones, zeros, zeros, ones)


def model_training(model: Any, x: Any, y: Any, mode: str) -> Call:
    """`train_step`, which `fit` wraps in the same way."""
    return _in(mode, model.train_step, (x, y))


def start_peak() -> int | None:
    """From the allocator of the first GPU."""
    if device().kind == "cpu":
        return None
    tf.config.experimental.reset_memory_stats("GPU:0")
    return int(tf.config.experimental.get_memory_info("GPU:0")["current"])


def peak() -> int:
    """From the allocator of the first GPU."""
    return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])


def _in(mode: str, function: Callable[..., Any], *arguments: Any) -> Call:
    """The function, called with these arguments in that mode.

    A graph is traced here and called as it is: finding the graph for the arguments would cost as much time again as a
    small layer, and a network pays that once a step, not once a layer.
    """
    if mode == "eager":
        return lambda: function(*arguments)
    graph = tf.function(function, autograph=False, jit_compile=mode == "compiled").get_concrete_function(*arguments)
    return lambda: graph(*arguments)


def _images(*tensors: Any) -> list[Any]:
    """As rank 4, which the fused op needs; reshaping moves no bytes."""
    return [x if len(x.shape) == 4 else tf.reshape(x, (-1, 1, 1, x.shape[-1])) for x in tensors]


def _fused(x: Any, gamma: Any, beta: Any, mean: Any = (), variance: Any = (), *, is_training: bool) -> Any:
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=mean, variance=variance, epsilon=_EPSILON, is_training=is_training
    ).y
