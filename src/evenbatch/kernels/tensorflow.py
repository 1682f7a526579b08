"""The kernels on TensorFlow: its fused op where that is right and pays, elsewhere two passes and our own gradient.

The fused op (`FusedBatchNormV3`: oneDNN on CPU, cuDNN on GPU) sums a channel in one chain of float32 additions, has no
float64, and under XLA it becomes a one-pass formula. So under XLA and for float64 it is not used, small tensors are
cheaper without it, and what it returns tells whether its mean can be trusted: where not, the two-pass formula takes its
place, forward and backward. That decision is made on arrays of the size of a channel and costs microseconds.
"""

import math
from functools import partial
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from evenbatch.kernels.statistics import Statistics

# The error of a float32 sum of n terms in one chain, in units of 2⁻²⁴ of its size: up to n, and about √n where the
# roundings are independent. Where one of them makes the mean wrong by more than these shares of a standard deviation,
# the fused op is not trusted.
_LARGEST_BOUND, _LARGEST_EXPECTED = 0.1, 5e-4
# Below these numbers of elements starting the fused op costs more than it saves (measured on 2 cores).
_WORTH_FUSING, _WORTH_FUSING_INFERENCE = 2**17, 2**18
# Of an output that is thrown away. cuDNN takes none below 1e-5.
_ANY_EPSILON = 1e-3
# The size that is assumed for them of an axis which a graph does not know, such as the batch.
_USUAL_SIZE = 128


@tf.autograph.experimental.do_not_convert
def normalize_batch(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> tuple[Any, Statistics]:
    """Normalizes `x` by its own moments."""
    axis = axis % x.shape.rank
    gamma, beta = _parameter(gamma, tf.ones, x, axis), _parameter(beta, tf.zeros, x, axis)
    count = _count(x, _kept(x, axis))
    y, mean, variance = _way(x, count)(x, gamma, beta, count, axis, epsilon)
    return y, Statistics(count, tf.stop_gradient(mean), tf.stop_gradient(variance))


@tf.autograph.experimental.do_not_convert
def normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments."""
    if not _is_worth_fusing(x):
        return _normalize(x, mean, variance, gamma, beta, _kept(x, axis), epsilon)
    axis, like = axis % x.shape.rank, _wide(x)
    gamma, beta = _parameter(gamma, tf.ones, x, axis), _parameter(beta, tf.zeros, x, axis)
    return _normalize_natively(x, tf.cast(mean, like), tf.cast(variance, like), gamma, beta, axis, epsilon)


@tf.autograph.experimental.do_not_convert
def inference(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments that no gradient flows to."""
    axis, like = axis % x.shape.rank, _wide(x)
    if x.dtype == tf.float64 or _elements(x) < _WORTH_FUSING_INFERENCE or _under_xla():
        return _normalize(x, mean, variance, gamma, beta, (axis,), epsilon)
    gamma, beta = _parameter(gamma, tf.ones, x, axis), _parameter(beta, tf.zeros, x, axis)
    return _fused_inference(x, tf.cast(mean, like), tf.cast(variance, like), gamma, beta, axis, epsilon)


@tf.autograph.experimental.do_not_convert
def moments(x: Any, axis: int) -> Statistics:
    """Mean and biased variance of each channel."""
    kept = _kept(x, axis)
    count = _count(x, kept)
    if _is_worth_fusing(x):
        return Statistics(count, *_moments_natively(x, count, *kept))
    return Statistics(count, *_corrected_moments(tf.cast(x, _wide(x)), count, kept))


@tf.autograph.experimental.do_not_convert
def masked_moments(x: Any, mask: Any, axis: int) -> Statistics:
    """The moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    return _masked_moments(x, _broadcast_mask(x, mask, axis), _kept(x, axis))


def _broadcast_mask(x: Any, mask: Any, axis: int) -> Any:
    """The mask with the shape of `x`, but for a 1 at the axis of the channels."""
    axis = axis % x.shape.rank
    positions = tf.tensor_scatter_nd_update(tf.shape(x), [[axis]], [1])
    return tf.broadcast_to(tf.expand_dims(tf.cast(mask, tf.bool), axis), positions)


def _masked_moments(x: Any, mask: Any, kept: tuple[int, ...]) -> Statistics:
    like, others = _wide(x), _others(x, kept)
    x = tf.cast(x, like)
    count = tf.reduce_sum(tf.cast(mask, like), others)
    n = tf.maximum(count, 1)
    mean = tf.reduce_sum(tf.where(mask, x, 0), others) / n
    deviation = tf.where(mask, x - _along(mean, x, kept), 0)
    rest = tf.reduce_sum(deviation, others) / n
    variance = _corrected(tf.reduce_sum(tf.square(deviation), others) / n, rest)
    return Statistics(tf.squeeze(count, -1), mean + rest, variance)


def _normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, kept: tuple[int, ...], epsilon: float) -> Any:
    like = _wide(x)
    scale = tf.math.rsqrt(tf.cast(variance, like) + epsilon)
    scale = scale if gamma is None else scale * tf.cast(gamma, like)
    y = (tf.cast(x, like) - _along(tf.cast(mean, like), x, kept)) * _along(scale, x, kept)
    y = y if beta is None else y + _along(tf.cast(beta, like), x, kept[-1:])
    return tf.cast(y, x.dtype)


def _way(x: Any, count: Any) -> Any:
    """Which of the three implementations takes `x`."""
    if x.dtype == tf.float64 or (isinstance(count, int) and count == 0) or _under_xla():
        return _two_pass
    if tf.executing_eagerly():
        return _fused_eagerly
    return _two_pass if _elements(x) < _WORTH_FUSING else _fused_in_graph


def _is_worth_fusing(x: Any) -> bool:
    """Whether given moments, and moments alone, are for the fused op."""
    return x.dtype != tf.float64 and 0 not in x.shape and _elements(x) >= _WORTH_FUSING and not _under_xla()


def _elements(x: Any) -> int:
    return math.prod(_USUAL_SIZE if size is None else size for size in x.shape)


def _under_xla() -> bool:
    """Whether the graph that is being built will be compiled by XLA. TensorFlow has no public name for that."""
    return not tf.executing_eagerly() and bool(
        control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())
    )


def _fused_eagerly(x: Any, gamma: Any, beta: Any, count: Any, axis: int, epsilon: float) -> tuple[Any, Any, Any]:
    """The fused op with its own gradient, or the two-pass formula where its result cannot be trusted."""
    y, mean, variance, _ = _fused_op(x, gamma, beta, count, axis, epsilon)
    if _distrusted(mean, variance, count, epsilon):
        return _two_pass(x, gamma, beta, count, axis, epsilon)
    return y, mean, variance


def _fused_in_graph(x: Any, gamma: Any, beta: Any, count: Any, axis: int, epsilon: float) -> tuple[Any, Any, Any]:
    """The same, decided when the graph runs. The gradient decides by itself, so that neither way pays for the other."""

    @tf.custom_gradient
    def run(x: Any, gamma: Any, beta: Any) -> Any:
        y, mean, variance, reserved = _fused_op(x, gamma, beta, count, axis, epsilon)
        distrusted = _distrusted(mean, variance, count, epsilon)
        y, mean, variance = tf.cond(
            distrusted,
            lambda: _two_pass_forward(x, gamma, beta, count, (axis,), epsilon),
            lambda: (y, mean, variance),
        )

        def gradient(dy: Any, *_: Any) -> Any:
            return tf.cond(
                distrusted,
                lambda: _two_pass_gradient(dy, x, gamma, mean, variance, count, (axis,), epsilon),
                lambda: _fused_op_gradient(dy, x, gamma, reserved, axis, epsilon),
            )

        return (y, mean, variance), gradient

    y, mean, variance = run(x, gamma, beta)
    y.set_shape(x.shape)
    return y, mean, variance


def _two_pass(x: Any, gamma: Any, beta: Any, count: Any, axis: int, epsilon: float) -> tuple[Any, Any, Any]:
    return _two_pass_kept(x, gamma, beta, count, (axis,), epsilon)


def _two_pass_kept(
    x: Any, gamma: Any, beta: Any, count: Any, kept: tuple[int, ...], epsilon: float
) -> tuple[Any, Any, Any]:
    @tf.custom_gradient
    def run(x: Any, gamma: Any, beta: Any) -> Any:
        y, mean, variance = _two_pass_forward(x, gamma, beta, count, kept, epsilon)

        def gradient(dy: Any, *_: Any) -> Any:
            return _two_pass_gradient(dy, x, gamma, mean, variance, count, kept, epsilon)

        return (y, mean, variance), gradient

    found: tuple[Any, Any, Any] = run(x, gamma, beta)
    return found


def _fused_op(x: Any, gamma: Any, beta: Any, count: Any, axis: int, epsilon: float) -> tuple[Any, Any, Any, Any]:
    """Output, mean, biased variance and what the op's gradient wants to know."""
    images, layout = _as_images(x, axis)
    y, mean, variance, *reserved = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=gamma, offset=beta, mean=(), variance=(), epsilon=epsilon, data_format=layout
    )
    # The op returns the variance with n - 1 below, and NaN for an empty batch.
    if isinstance(count, int):
        return _as_before(y, x, axis), mean, variance * ((count - 1) / count), reserved
    mean = tf.math.multiply_no_nan(mean, tf.minimum(count, 1))
    variance = tf.math.multiply_no_nan(variance, tf.maximum(count - 1, 0) / tf.maximum(count, 1))
    return _as_before(y, x, axis), mean, variance, reserved


def _fused_op_gradient(
    dy: Any, x: Any, gamma: Any, reserved: Any, axis: int, epsilon: float, is_training: bool = True
) -> tuple[Any, Any, Any]:
    images, layout = _as_images(x, axis)
    dy.set_shape(x.shape)
    first, second, third = reserved
    dx, dgamma, dbeta, _, _ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=_as_images(dy, axis)[0],
        x=images,
        scale=gamma,
        reserve_space_1=first,
        reserve_space_2=second,
        reserve_space_3=third,
        epsilon=epsilon,
        data_format=layout,
        is_training=is_training,
    )
    return _as_before(dx, x, axis), dgamma, dbeta


def _normalize_natively(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """The fused op in inference mode, which subtracts before it scales, with gradients to the moments too."""
    find = partial(_inference_gradient, axis=axis, epsilon=epsilon)
    if axis == x.shape.rank - 1:  # TensorFlow's kernels have this gradient for no other axis
        find = _with_derivatives_of(find, partial(_fused_inference_gradient, axis=axis, epsilon=epsilon))

    @tf.custom_gradient
    def run(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any) -> Any:
        def gradient(dy: Any) -> Any:
            dx, dgamma, dbeta = find(dy, x, mean, variance, gamma)
            inverse = tf.math.rsqrt(variance + epsilon)
            return dx, -dbeta * gamma * inverse, -0.5 * tf.square(inverse) * gamma * dgamma, dgamma, dbeta

        return _fused_inference(x, mean, variance, gamma, beta, axis, epsilon), gradient

    y = run(x, mean, variance, gamma, beta)
    y.set_shape(x.shape)
    return y


def _moments_natively(x: Any, count: Any, axis: int) -> tuple[Any, Any]:
    """The moments that the fused op finds beside an output, or corrected ones where it cannot be trusted."""
    ones, zeros, n = _parameter(None, tf.ones, x, axis), _parameter(None, tf.zeros, x, axis), _at_least_one(count)

    def corrected(x: Any) -> tuple[Any, Any]:
        return _corrected_moments(tf.cast(x, ones.dtype), count, (axis,))

    @tf.custom_gradient
    def run(x: Any) -> Any:
        _, mean, variance, _ = _fused_op(x, ones, zeros, count, axis, _ANY_EPSILON)
        distrusted = _distrusted(mean, variance, count, 0.0)
        mean, variance = tf.cond(distrusted, lambda: corrected(x), lambda: (mean, variance))

        def gradient(dmean: Any, dvariance: Any) -> Any:
            return _with_derivatives_of(
                lambda x, a, b: _normalize(x, corrected(x)[0], zeros, a, b, (axis,), 1.0),
                lambda x, a, b: _fused_inference(x, mean, zeros, a, b, axis, 1.0),
            )(x, 2 * dvariance / n, dmean / n)

        return (mean, variance), gradient

    found: tuple[Any, Any] = run(x)
    return found


def _with_derivatives_of(plain: Any, native: Any) -> Any:
    """The function `native`, whose derivatives are those of `plain`.

    Those that TensorFlow has for its fused ops are wrong where moments are functions of something.
    """

    @tf.custom_gradient
    def run(*given: Any) -> Any:
        def gradient(*upstream: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(given)
                found = plain(*given)
            return tape.gradient(found, given, upstream if isinstance(found, tuple) else upstream[0])

        return native(*given), gradient

    return run


def _fused_inference(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    images, layout = _as_images(x, axis)
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=gamma,
        offset=beta,
        mean=mean,
        variance=variance,
        epsilon=epsilon,
        data_format=layout,
        is_training=False,
    )
    return _as_before(y, x, axis)


def _fused_inference_gradient(
    dy: Any, x: Any, mean: Any, variance: Any, gamma: Any, axis: int, epsilon: float
) -> tuple[Any, Any, Any]:
    return _fused_op_gradient(dy, x, gamma, (mean, variance, tf.zeros_like(mean)[:0]), axis, epsilon, False)


def _inference_gradient(
    dy: Any, x: Any, mean: Any, variance: Any, gamma: Any, axis: int, epsilon: float
) -> tuple[Any, Any, Any]:
    wide, dy, others = tf.cast(x, gamma.dtype), tf.cast(dy, gamma.dtype), _others(x, (axis,))
    inverse = tf.math.rsqrt(variance + epsilon)
    dgamma = tf.reduce_sum(dy * (wide - _along(mean, x, (axis,))), others) * inverse
    return tf.cast(dy * _along(inverse * gamma, x, (axis,)), x.dtype), dgamma, tf.reduce_sum(dy, others)


def _distrusted(mean: Any, variance: Any, count: Any, epsilon: float) -> Any:
    smaller, root = (min, math.sqrt) if isinstance(count, int) else (tf.minimum, tf.sqrt)
    largest_ratio = 2.0**24 * smaller(_LARGEST_BOUND / count, _LARGEST_EXPECTED / root(count))
    return tf.reduce_any(tf.abs(mean) > tf.sqrt(variance + epsilon) * largest_ratio)


def _two_pass_forward(
    x: Any, gamma: Any, beta: Any, count: Any, kept: tuple[int, ...], epsilon: float
) -> tuple[Any, Any, Any]:
    wide = tf.cast(x, gamma.dtype)
    # Where TensorFlow itself sums, it does not do so in one chain, and for small tensors every op counts. How many
    # values an open batch will have is not known, and their number is what a plain mean is wrong by.
    plain = x.shape.is_fully_defined() and _elements(x) < _WORTH_FUSING and not _under_xla()
    mean, variance = (_two_pass_moments if plain else _corrected_moments)(wide, count, kept)
    scale = tf.math.rsqrt(variance + epsilon) * gamma
    y = (wide - _along(mean, x, kept)) * _along(scale, x, kept) + _along(beta, x, kept)
    return tf.cast(y, x.dtype), mean, variance


def _two_pass_gradient(
    dy: Any, x: Any, gamma: Any, mean: Any, variance: Any, count: Any, kept: tuple[int, ...], epsilon: float
) -> tuple[Any, Any, Any]:
    """Section 3 of Ioffe & Szegedy 2015, with the sums over the batch taken once each."""
    wide, dy, others = tf.cast(x, gamma.dtype), tf.cast(dy, gamma.dtype), _others(x, kept)
    n = _at_least_one(count)
    inverse = tf.math.rsqrt(variance + epsilon)
    normalized = (wide - _along(mean, x, kept)) * _along(inverse, x, kept)
    dbeta, dgamma = tf.reduce_sum(dy, others), tf.reduce_sum(dy * normalized, others)
    dx = dy - _along(dbeta / n, x, kept) - normalized * _along(dgamma / n, x, kept)
    return tf.cast(dx * _along(inverse * gamma, x, kept), x.dtype), dgamma, dbeta


def _two_pass_moments(x: Any, count: Any, kept: tuple[int, ...]) -> tuple[Any, Any]:
    others, n = _others(x, kept), _at_least_one(count)
    mean = tf.reduce_sum(x, others) / n
    return mean, tf.reduce_sum(tf.math.squared_difference(x, _along(mean, x, kept)), others) / n


def _corrected_moments(x: Any, count: Any, kept: tuple[int, ...]) -> tuple[Any, Any]:
    """The corrected two-pass algorithm of Chan, Golub & LeVeque 1983: what rounding left in the mean comes back."""
    others, n = _others(x, kept), _at_least_one(count)
    mean = tf.reduce_sum(x, others) / n
    deviation = x - _along(mean, x, kept)
    rest = tf.reduce_sum(deviation, others) / n
    return mean + rest, _corrected(tf.reduce_sum(tf.square(deviation), others) / n, rest)


def _corrected(variance: Any, rest: Any) -> Any:
    """The variance about the mean, of that about a mean which is off by `rest`. One that overflowed stays infinite."""
    corrected = variance - tf.where(tf.math.is_inf(variance), tf.zeros_like(rest), tf.square(rest))
    return tf.where(corrected < 0, tf.zeros_like(corrected), corrected)  # no maximum, whose derivative at 0 is a half


def _parameter(values: Any, default: Any, x: Any, axis: int) -> Any:
    return default(x.shape[axis], _wide(x)) if values is None else tf.cast(values, _wide(x))


def _wide(x: Any) -> Any:
    return tf.float64 if x.dtype == tf.float64 else tf.float32


def _kept(x: Any, axis: int) -> tuple[int, ...]:
    """The axes that moments keep: the one of the channels, behind that of the slices where there are any."""
    return (axis % x.shape.rank,)


def _others(x: Any, kept: tuple[int, ...]) -> list[int]:
    return [i for i in range(x.shape.rank) if i not in kept]


def _count(x: Any, kept: tuple[int, ...]) -> Any:
    """Values per channel: an int where the shape is known, else a scalar."""
    sizes = [x.shape[i] for i in _others(x, kept)]
    if None not in sizes:
        return math.prod(sizes)
    return tf.cast(tf.reduce_prod(tf.gather(tf.shape(x), _others(x, kept))), _wide(x))


def _at_least_one(count: Any) -> Any:
    return max(count, 1) if isinstance(count, int) else tf.maximum(count, 1)


def _along(values: Any, x: Any, kept: tuple[int, ...]) -> Any:
    """`values`, of the shape of the axes that are kept, as a tensor that broadcasts against `x`."""
    if kept == (x.shape.rank - 1,):
        return values
    sizes = [1] * x.shape.rank
    sizes[kept[0]] = -1
    for axis in kept[1:]:
        sizes[axis] = x.shape[axis]
    return tf.reshape(values, sizes[kept[0] :])


def _as_images(x: Any, axis: int) -> tuple[Any, str]:
    """`x` with four axes, and which of them the fused op is to take for the channels. No copy is made."""
    rank, channels = x.shape.rank, x.shape[axis]
    if rank == 4 and axis in (1, 3):
        return x, "NHWC" if axis == 3 else "NCHW"
    if axis == rank - 1:
        return tf.reshape(x, [-1, 1, 1, channels]), "NHWC"
    behind = tf.reduce_prod(tf.shape(x)[axis + 1 :])
    return tf.reshape(x, [-1, channels, behind, 1]), "NCHW"


def _as_before(y: Any, x: Any, axis: int) -> Any:
    return y if x.shape.rank == 4 and axis in (1, 3) else tf.reshape(y, tf.shape(x))
