"""Slices on TensorFlow: large ones by its fused op one after the other, others by a formula for all of them at once.

A graph seldom knows how many slices a batch will have, so there they are taken in a loop. A slice along the first axis
is no copy, but its gradient would be one of the whole batch, so the loop has a gradient of its own, which is a loop
too. What is left over a whole batch is that outputs, and gradients, are copied once to bring them together.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from evenbatch.kernels import tensorflow as whole
from evenbatch.kernels.slices.cuts import rows_in_front, sizes
from evenbatch.kernels.statistics import Statistics

# Below this number of elements of a slice the loop costs more than the fused op saves (measured on 2 cores).
_WORTH_A_TURN = 2**17


@tf.autograph.experimental.do_not_convert
def normalize_slices(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> tuple[Any, Statistics]:
    """Normalizes each slice of `x` by its own moments."""
    axis = axis % x.shape.rank
    gamma, beta = whole._parameter(gamma, tf.ones, x, axis), whole._parameter(beta, tf.zeros, x, axis)
    y, mean, variance = _way(x, size)(x, gamma, beta, axis, epsilon, size)
    return y, Statistics(_counts(x, axis, size), tf.stop_gradient(mean), tf.stop_gradient(variance))


@tf.autograph.experimental.do_not_convert
def normalize_masked_slices(
    x: Any, mask: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int
) -> tuple[Any, Statistics]:
    """The same by the moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    kept = (0, axis % x.shape.rank + 1)

    def normalized(x: Any, mask: Any) -> list[Any]:
        batch = whole._masked_moments(x, mask, kept)
        return [whole._normalize(x, batch.mean, batch.variance, gamma, beta, kept, epsilon), *batch]

    y, *parts = _in_blocks(normalized, (x, whole._broadcast_mask(x, mask, axis)), size)
    return y, Statistics(*parts)


@tf.autograph.experimental.do_not_convert
def merged(parts: Statistics) -> Statistics:
    """The statistics of all values, from those of parts of them: Chan, Golub & LeVeque 1983."""
    total = sum(parts.count) if isinstance(parts.count, tuple) else tf.reduce_sum(parts.count)
    counts = tf.cast(tf.convert_to_tensor(parts.count, parts.mean.dtype), parts.mean.dtype)
    weights = (counts / tf.maximum(tf.reduce_sum(counts), 1))[:, None]
    mean = tf.reduce_sum(weights * parts.mean, 0)
    distances = parts.mean - mean
    rest = tf.reduce_sum(weights * distances, 0)
    variance = tf.reduce_sum(weights * (parts.variance + tf.square(distances)), 0)
    return Statistics(total, mean + rest, whole._corrected(variance, rest))


def _way(x: Any, size: int) -> Any:
    """Which of the three implementations takes the slices of `x`."""
    if x.dtype == tf.float64 or 0 in x.shape or size * whole._elements(x[0]) < _WORTH_A_TURN or whole._under_xla():
        return _by_formula
    return _one_by_one if tf.executing_eagerly() else _in_a_loop


def _by_formula(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    kept = (0, axis + 1)

    def normalized(x: Any) -> Any:
        each = (tf.shape(x)[0], x.shape[axis + 1])
        gammas, betas = tf.broadcast_to(gamma, each), tf.broadcast_to(beta, each)
        return whole._two_pass_kept(x, gammas, betas, whole._count(x, kept), kept, epsilon)

    return _in_blocks(normalized, (x,), size)


def _one_by_one(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    found = [whole.normalize_batch(part, gamma, beta, axis, epsilon) for part in tf.split(x, sizes(x.shape[0], size))]
    y, batches = zip(*found, strict=True)
    return tf.concat(y, 0), tf.stack([one.mean for one in batches]), tf.stack([one.variance for one in batches])


def _in_a_loop(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    """The fused op slice by slice, or the formula where one of them cannot be trusted."""
    count = 2 * size * whole._count(x, (0, axis))  # no slice has more values

    @tf.custom_gradient
    def run(x: Any, gamma: Any, beta: Any) -> Any:
        y, mean, variance, reserved = _fused_forward(x, gamma, beta, axis, epsilon, size)
        distrusted = whole._distrusted(mean, variance, count, epsilon)
        y, mean, variance = tf.cond(
            distrusted,
            lambda: _by_formula(x, gamma, beta, axis, epsilon, size),
            lambda: (y, mean, variance),
        )

        captured = x, gamma, beta

        def by_formula(dy: Any) -> tuple[Any, ...]:
            # What a branch takes from outside of it, tf.gradients does not see.
            inputs = x, gamma, beta = tuple(tf.identity(value) for value in captured)
            again, *_ = _by_formula(x, gamma, beta, axis, epsilon, size)
            return tuple(tf.gradients(again, inputs, dy))

        def gradient(dy: Any, *_: Any) -> Any:
            return tf.cond(
                distrusted,
                lambda: by_formula(dy),
                lambda: _fused_gradient(dy, x, gamma, reserved, axis, epsilon, size),
            )

        return (y, mean, variance), gradient

    y, mean, variance = run(x, gamma, beta)
    y.set_shape(x.shape)
    return y, mean, variance


def _fused_forward(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    """Outputs, and of each slice the mean, the variance and what the op's gradient wants to know."""
    slices = _slices(x, size)

    def turn(i: Any, found: list[Any]) -> Any:
        part = _slice(x, i, slices, size)
        y, mean, variance, reserved = whole._fused_op(part, gamma, beta, whole._count(part, (axis,)), axis, epsilon)
        values = (y, mean, variance, *reserved)
        return i + 1, [array.write(i, value) for array, value in zip(found, values, strict=True)]

    empty = [tf.TensorArray(x.dtype, slices, infer_shape=False, element_shape=[None, *x.shape[1:]])]
    empty += [tf.TensorArray(gamma.dtype, slices, element_shape=gamma.shape) for _ in range(2)]
    empty += [tf.TensorArray(gamma.dtype, slices, infer_shape=False) for _ in range(3)]
    _, (y, mean, variance, *reserved) = _loop(slices, turn, empty)
    return y.concat(), mean.stack(), variance.stack(), reserved


def _fused_gradient(
    dy: Any, x: Any, gamma: Any, reserved: list[Any], axis: int, epsilon: float, size: int
) -> tuple[Any, Any, Any]:
    slices = _slices(x, size)

    def turn(i: Any, found: list[Any]) -> Any:
        part, upstream, known = _slice(x, i, slices, size), _slice(dy, i, slices, size), [r.read(i) for r in reserved]
        dx, dgamma, dbeta = whole._fused_op_gradient(upstream, part, gamma, known, axis, epsilon)
        return i + 1, [found[0].write(i, dx), found[1] + dgamma, found[2] + dbeta]

    dx = tf.TensorArray(x.dtype, slices, infer_shape=False, element_shape=[None, *x.shape[1:]])
    _, (dx, dgamma, dbeta) = _loop(slices, turn, [dx, tf.zeros_like(gamma), tf.zeros_like(gamma)])
    dx = dx.concat()
    dx.set_shape(x.shape)
    return dx, dgamma, dbeta


def _loop(slices: Any, turn: Callable[..., Any], start: list[Any]) -> Any:
    return tf.while_loop(lambda i, _: i < slices, turn, (0, start))


def _slices(x: Any, size: int) -> Any:
    return tf.maximum(tf.shape(x)[0] // size, 1)


def _slice(x: Any, i: Any, slices: Any, size: int) -> Any:
    begin = i * size
    end = tf.where(i == slices - 1, tf.shape(x)[0], begin + size)
    part = x[begin:end]
    part.set_shape([None, *x.shape[1:]])
    return part


def _counts(x: Any, axis: int, size: int) -> Any:
    """Values per channel of each slice: ints where the shape is known, else a tensor."""
    others = whole._count(x, (0, axis))
    if x.shape[0] is not None and isinstance(others, int):
        return tuple(rows * others for rows in sizes(x.shape[0], size))
    rows, slices = tf.shape(x)[0], _slices(x, size)
    of_each = tf.concat([tf.fill([slices - 1], size), [rows - (slices - 1) * size]], 0)
    return tf.cast(of_each, whole._wide(x)) * tf.cast(others, whole._wide(x))


def _in_blocks(function: Callable[..., Any], tensors: tuple[Any, ...], size: int) -> Any:
    """The function of tensors of shape (slices, rows of each, ...), for the slices of one size and for the last."""
    rows = tensors[0].shape[0]
    if rows is not None:
        return _in_two_blocks(function, tensors, rows_in_front(rows, size), size)
    rows = tf.shape(tensors[0])[0]
    front = tf.maximum(rows // size - 1, 0) * size
    if whole._under_xla():  # which compiles both branches of a condition, and one would be of the wrong shape
        return _in_two_blocks(function, tensors, front, size)
    return tf.cond(
        (rows % size == 0) & (rows > 0),
        lambda: _front(function, tensors, rows, size),
        lambda: _in_two_blocks(function, tensors, front, size),
    )


def _in_two_blocks(function: Callable[..., Any], tensors: tuple[Any, ...], front: Any, size: int) -> Any:
    rows = tensors[0].shape[0]
    if isinstance(front, int) and front == rows:
        return _front(function, tensors, front, size)
    last = _as_rows(function(*(t[front:][None] for t in tensors)))
    if isinstance(front, int) and front == 0:
        return last
    return tuple(tf.concat(parts, 0) for parts in zip(_front(function, tensors, front, size), last, strict=True))


def _front(function: Callable[..., Any], tensors: tuple[Any, ...], front: Any, size: int) -> Any:
    blocks = []
    for tensor in tensors:
        block = tf.reshape(tensor[:front], tf.concat([[front // size, size], tf.shape(tensor)[1:]], 0))
        block.set_shape([None, size, *tensor.shape[1:]])
        blocks.append(block)
    return _as_rows(function(*blocks))


def _as_rows(found: Any) -> tuple[Any, ...]:
    y, *parts = found
    shape = tf.shape(y)
    return tf.reshape(y, tf.concat([shape[:1] * shape[1:2], shape[2:]], 0)), *parts
