"""The kernels on JAX: few passes and a derivative of our own, which XLA fuses.

The derivative is given in forward mode (`custom_jvp`), so that `jvp` and `hessian` work; its transpose is the gradient.
On CPU, XLA runs a reduction fast only where what it sums is the tensor itself or a product of tensors: to subtract the
mean within a sum, it first writes the difference to memory. So there the variance is `E[x²] - E[x]²` wherever that is
exact enough, which the two moments themselves tell, and two-pass elsewhere.
"""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from evenbatch.kernels.statistics import Statistics

# One pass loses about this many units in the last place of the variance; more, and a second pass is taken.
_LARGEST_CANCELLATION = 16.0


# Below this number of elements a condition costs more than a pass (measured on 2 cores).
_SMALL = 2**14


def normalize_batch(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> tuple[Any, Statistics]:
    """Normalizes `x` by its own moments."""
    like, channels = _wide(x), x.shape[axis]
    gamma = jnp.ones(channels, like) if gamma is None else gamma.astype(like)
    beta = jnp.zeros(channels, like) if beta is None else beta.astype(like)
    kept = _kept(x, axis)
    y, mean, variance = _normalize_batch(kept, epsilon, x, gamma, beta)
    return y, Statistics(_count(x, kept), mean, variance)


@partial(jax.jit, static_argnames=("axis", "epsilon"))
def normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments."""
    return _normalize(x, mean, variance, gamma, beta, _kept(x, axis), epsilon)


def inference(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments that no gradient flows to."""
    return normalize(x, mean, variance, gamma, beta, axis, epsilon)


def moments(x: Any, axis: int) -> Statistics:
    """Mean and biased variance of each channel."""
    kept = _kept(x, axis)
    mean, variance = _two_pass(kept, x)
    return Statistics(_count(x, kept), mean, variance)


@partial(jax.jit, static_argnames=("axis",))
def masked_moments(x: Any, mask: Any, axis: int) -> Statistics:
    """The moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    kept = _kept(x, axis)
    return _masked_moments(x, _broadcast_mask(x, mask, axis), kept)


def _broadcast_mask(x: Any, mask: Any, axis: int) -> Any:
    """The mask with the shape of `x`, but for a 1 at the axis of the channels."""
    positions = tuple(1 if i == axis % x.ndim else size for i, size in enumerate(x.shape))
    return jnp.broadcast_to(jnp.expand_dims(jnp.asarray(mask, bool), axis % x.ndim), positions)


def _masked_moments(x: Any, mask: Any, kept: tuple[int, ...]) -> Statistics:
    values, like, others = x.astype(_wide(x)), _wide(x), _others(x, kept)
    count = jnp.sum(mask, others, dtype=like)
    n = jnp.maximum(count, 1)
    mean = jnp.sum(jnp.where(mask, values, 0), others) / n
    deviation = jnp.where(mask, _centred(x, mean, kept), 0)
    rest = jnp.sum(deviation, others) / n
    variance = _corrected(jnp.sum(jnp.square(deviation), others) / n, rest)
    return Statistics(jnp.squeeze(count, -1), mean + rest, variance)


def _normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, kept: tuple[int, ...], epsilon: float) -> Any:
    like = _wide(x)
    scale = jax.lax.rsqrt(variance.astype(like) + epsilon)
    scale = scale if gamma is None else scale * gamma.astype(like)
    y = _centred(x, mean.astype(like), kept) * _along(scale, x, kept)
    y = y if beta is None else y + _along(beta.astype(like), x, kept[-1:])
    return y.astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _by_own_moments(kept: tuple[int, ...], epsilon: float, x: Any, gamma: Any, beta: Any) -> tuple[Any, Any, Any]:
    mean, variance = _moments(kept, epsilon, x)
    scale = jax.lax.rsqrt(variance + epsilon) * gamma
    y = _centred(x, mean, kept) * _along(scale, x, kept) + _along(beta, x, kept)
    return y.astype(x.dtype), mean, variance


@_by_own_moments.defjvp
def _derivative(kept: tuple[int, ...], epsilon: float, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """Section 3 of Ioffe & Szegedy 2015, in forward mode.

    What has the size of a channel is gathered first. So the transpose sums the gradient and its product with `x` once
    each, and nothing but `x` is kept for it.
    """
    x, gamma, beta = primals
    tx, tgamma, tbeta = tangents
    y, mean, variance = _by_own_moments(kept, epsilon, x, gamma, beta)
    inverse, others, n = jax.lax.rsqrt(variance + epsilon), _others(x, kept), _at_least_one(_count(x, kept))
    values, changes, scale = x.astype(mean.dtype), tx.astype(mean.dtype), inverse * gamma
    tmean = jnp.sum(changes, others) / n
    along_normalized = (jnp.sum(changes * values, others) / n - mean * tmean) * inverse
    slope = inverse * (tgamma - scale * along_normalized)
    constant = tbeta - scale * tmean - mean * slope
    ty = changes * _along(scale, x, kept) + values * _along(slope, x, kept) + _along(constant, x, kept)
    tvariance = 2 * along_normalized * jnp.sqrt(variance + epsilon)
    return (y, mean, variance), (ty.astype(x.dtype), tmean, tvariance)


# Compiled even where the user's program is not: dispatching operation by operation would cost more than they do.
_normalize_batch = jax.jit(_by_own_moments, static_argnums=(0, 1))


def _moments(kept: tuple[int, ...], epsilon: float, x: Any) -> tuple[Any, Any]:
    one_pass_if_exact, two_pass = partial(_one_pass_if_exact, kept, epsilon), partial(_two_pass, kept)
    if isinstance(x.size, int) and x.size < _SMALL:
        return two_pass(x)
    # Elsewhere a pass is cheap, and a condition makes the device wait for the host.
    moments: tuple[Any, Any] = jax.lax.platform_dependent(x, cpu=one_pass_if_exact, default=two_pass)
    return moments


def _one_pass_if_exact(kept: tuple[int, ...], epsilon: float, x: Any) -> tuple[Any, Any]:
    values, others, n = x.astype(_wide(x)), _others(x, kept), _at_least_one(_count(x, kept))
    mean = jnp.sum(values, others) / n
    variance = jnp.sum(jnp.square(values), others) / n - jnp.square(mean)
    little_cancels = jnp.square(mean) <= _LARGEST_CANCELLATION * (variance + epsilon)
    exact = jnp.all(little_cancels & jnp.isfinite(variance))  # written so that what overflowed is not exact
    found: tuple[Any, Any] = jax.lax.cond(
        exact, lambda _: (mean, jnp.maximum(variance, 0)), partial(_two_pass, kept), x
    )
    return found


@partial(jax.jit, static_argnums=0)
def _two_pass(kept: tuple[int, ...], x: Any) -> tuple[Any, Any]:
    """The corrected two-pass algorithm of Chan, Golub & LeVeque 1983: what rounding left in the mean comes back."""
    values, others, n = x.astype(_wide(x)), _others(x, kept), _at_least_one(_count(x, kept))
    mean = jnp.sum(values, others) / n
    deviation = _centred(x, mean, kept)
    rest = jnp.sum(deviation, others) / n
    return mean + rest, _corrected(jnp.sum(jnp.square(deviation), others) / n, rest)


def _corrected(variance: Any, rest: Any) -> Any:
    """The variance about the mean, of that about a mean which is off by `rest`. One that overflowed stays infinite."""
    corrected = variance - jnp.where(jnp.isinf(variance), 0, jnp.square(rest))
    return jnp.where(corrected < 0, 0, corrected)  # no maximum, whose derivative at 0 is a half


def _wide(x: Any) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def _kept(x: Any, axis: int) -> tuple[int, ...]:
    """The axes that moments keep: the one of the channels, behind that of the slices where there are any."""
    return (axis % x.ndim,)


def _others(x: Any, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(i for i in range(x.ndim) if i not in kept)


def _count(x: Any, kept: tuple[int, ...]) -> Any:
    """Values per channel: an int, or a scalar where an export leaves the batch open."""
    count = math.prod(x.shape[i] for i in _others(x, kept))
    return count if isinstance(count, int) else jnp.asarray(count, _wide(x))


def _at_least_one(count: Any) -> Any:
    return max(count, 1) if isinstance(count, int) else jnp.maximum(count, 1)


def _centred(x: Any, mean: Any, kept: tuple[int, ...]) -> Any:
    return x.astype(mean.dtype) - _along(mean, x, kept)


def _along(values: Any, x: Any, kept: tuple[int, ...]) -> Any:
    """`values`, of the shape of the axes that are kept, as a tensor that broadcasts against `x`."""
    return jnp.expand_dims(values, _others(x, kept))
