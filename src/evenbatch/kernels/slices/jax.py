"""Slices on JAX: they are one axis more that the moments keep, so that the arithmetic is that of a whole batch.

On CPU this is as fast as the whole batch. A loop, unrolled or not, writes every slice once more to bring them together.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from evenbatch.kernels.jax import (
    _broadcast_mask,
    _corrected,
    _masked_moments,
    _normalize,
    _normalize_batch,
    _wide,
)
from evenbatch.kernels.slices.cuts import rows_in_front, sizes
from evenbatch.kernels.statistics import Statistics


def normalize_slices(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> tuple[Any, Statistics]:
    """Normalizes each slice of `x` by its own moments."""
    like, channels = _wide(x), x.shape[axis]
    gamma = jnp.ones(channels, like) if gamma is None else gamma.astype(like)
    beta = jnp.zeros(channels, like) if beta is None else beta.astype(like)
    y, mean, variance = _each_by_its_own(x, gamma, beta, axis % x.ndim, epsilon, size)
    others = x.size // (x.shape[0] * channels) if x.size else 0
    return y, Statistics(tuple(rows * others for rows in sizes(x.shape[0], size)), mean, variance)


@partial(jax.jit, static_argnames=("axis", "epsilon", "size"))
def normalize_masked_slices(
    x: Any, mask: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int
) -> tuple[Any, Statistics]:
    """The same by the moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    kept = (0, axis % x.ndim + 1)

    def normalized(x: Any, mask: Any) -> tuple[Any, ...]:
        batch = _masked_moments(x, mask, kept)
        return _normalize(x, batch.mean, batch.variance, gamma, beta, kept, epsilon), *batch

    y, *parts = _in_blocks(normalized, (x, _broadcast_mask(x, mask, axis)), size)
    return y, Statistics(*parts)


def merged(parts: Statistics) -> Statistics:
    """The statistics of all values, from those of parts of them: Chan, Golub & LeVeque 1983."""
    total = sum(parts.count) if isinstance(parts.count, tuple) else jnp.sum(parts.count)
    return Statistics(total, *_merged(jnp.asarray(parts.count, parts.mean.dtype), parts.mean, parts.variance))


@jax.jit
def _merged(counts: Any, means: Any, variances: Any) -> tuple[Any, Any]:
    weights = (counts / jnp.maximum(jnp.sum(counts), 1))[:, None]
    mean = jnp.sum(weights * means, 0)
    distances = means - mean
    rest = jnp.sum(weights * distances, 0)
    return mean + rest, _corrected(jnp.sum(weights * (variances + jnp.square(distances)), 0), rest)


@partial(jax.jit, static_argnames=("axis", "epsilon", "size"))
def _each_by_its_own(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> tuple[Any, ...]:
    def normalized(x: Any) -> tuple[Any, ...]:
        each = (x.shape[0], *gamma.shape)
        return _normalize_batch((0, axis + 1), epsilon, x, jnp.broadcast_to(gamma, each), jnp.broadcast_to(beta, each))

    return _in_blocks(normalized, (x,), size)


def _in_blocks(function: Callable[..., tuple[Any, ...]], tensors: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    """The function of tensors of shape (slices, rows of each, ...), for the slices of one size and for the last."""
    rows = tensors[0].shape[0]
    front = rows_in_front(rows, size)
    found = []
    if front or not rows:
        found.append(function(*(t[:front].reshape(front // size, size, *t.shape[1:]) for t in tensors)))
    if front < rows:
        found.append(function(*(t[None, front:] for t in tensors)))
    found = [(y.reshape(y.shape[0] * y.shape[1], *y.shape[2:]), *parts) for y, *parts in found]
    return found[0] if len(found) == 1 else tuple(jnp.concatenate(parts) for parts in zip(*found, strict=True))
