"""The oracle: batch normalization in NumPy float64, written from the paper and sharing nothing with the kernels.

Ioffe & Szegedy 2015, https://arxiv.org/abs/1502.03167: algorithm 1 for the forward direction, the equations of section
3 for the gradient. The sums run over every axis but the channels'.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evenbatch.kernels.statistics import Statistics

Array = NDArray[np.float64]


def moments(x: ArrayLike, axis: int) -> Statistics:
    """Mean and biased variance of each channel of `x`."""
    return _of_rows(_rows(x, axis))


def masked_moments(x: ArrayLike, mask: ArrayLike, axis: int) -> Statistics:
    """The moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    rows = _rows(x, axis)
    shape = tuple(np.delete(np.shape(x), axis))
    return _of_rows(rows[np.broadcast_to(np.asarray(mask, bool), shape).ravel()])


def normalize(
    x: ArrayLike, mean: ArrayLike, variance: ArrayLike, gamma: ArrayLike, beta: ArrayLike, axis: int, epsilon: float
) -> Array:
    """Algorithm 1, last two lines, with the statistics given."""
    mean, variance, gamma, beta = (_along(values, x, axis) for values in (mean, variance, gamma, beta))
    normalized = (np.asarray(x, np.float64) - mean) / np.sqrt(variance + epsilon)
    return np.asarray(gamma * normalized + beta)


def normalize_batch(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, axis: int, epsilon: float
) -> tuple[Array, Statistics]:
    """Algorithm 1: normalizes `x` by its own moments."""
    found = moments(x, axis)
    return normalize(x, found.mean, found.variance, gamma, beta, axis, epsilon), found


def slices(rows: int, size: int) -> list[slice]:
    """Hoffer et al. 2017, algorithm 1, with a last slice that takes what is left over too."""
    starts = [start for start in range(0, rows, size) if start == 0 or start + size <= rows]
    return [slice(start, end) for start, end in zip(starts, [*starts, rows][1:], strict=True)]


def normalize_slices(
    x: ArrayLike, gamma: ArrayLike, beta: ArrayLike, axis: int, epsilon: float, size: int, mask: ArrayLike = True
) -> Array:
    """Each slice by the moments of its positions where the mask is true."""
    x = np.asarray(x, np.float64)
    mask = np.broadcast_to(mask, tuple(np.delete(np.shape(x), axis)))
    y = np.empty_like(x)
    for part in slices(len(x), size):
        found = masked_moments(x[part], mask[part], axis)
        y[part] = normalize(x[part], found.mean, found.variance, gamma, beta, axis, epsilon)
    return y


def slice_gradients(
    dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, axis: int, epsilon: float, size: int
) -> tuple[Array, Array, Array]:
    """The gradients of each slice; those of gamma and beta are their sums."""
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    dx, dgamma, dbeta = np.zeros_like(x), np.zeros(np.shape(gamma)), np.zeros(np.shape(gamma))
    for part in slices(len(x), size):
        dx[part], of_gamma, of_beta = gradients(dy[part], x[part], gamma, axis, epsilon)
        dgamma, dbeta = dgamma + of_gamma, dbeta + of_beta
    return dx, dgamma, dbeta


def gradients(dy: ArrayLike, x: ArrayLike, gamma: ArrayLike, axis: int, epsilon: float) -> tuple[Array, Array, Array]:
    """Section 3 of the paper, equation by equation: gradients with respect to x, gamma and beta."""
    rows, dy_rows, scale = _rows(x, axis), _rows(dy, axis), np.asarray(gamma, np.float64)
    count, mean, variance = _of_rows(rows)
    inverse = 1 / np.sqrt(variance + epsilon)
    normalized = (rows - mean) * inverse
    d_normalized = dy_rows * scale
    d_variance = (d_normalized * (rows - mean) * -0.5 * inverse**3).sum(0)
    d_mean = (-d_normalized * inverse).sum(0) + d_variance * (-2 * (rows - mean)).sum(0) / max(count, 1)
    d_rows = d_normalized * inverse + d_variance * 2 * (rows - mean) / max(count, 1) + d_mean / max(count, 1)
    moved = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    dx = np.moveaxis(d_rows.reshape(moved.shape), -1, axis)
    return dx, (dy_rows * normalized).sum(0), dy_rows.sum(0)


def _rows(x: ArrayLike, axis: int) -> Array:
    """Shape (values per channel, channels)."""
    moved: Array = np.moveaxis(np.asarray(x, np.float64), axis, -1)
    return moved.reshape(int(np.prod(moved.shape[:-1])), moved.shape[-1])


def _of_rows(rows: Array) -> Statistics:
    if not len(rows):
        return Statistics(0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]))
    mean = rows.mean(0)
    mean = mean + (rows - mean).mean(0)
    return Statistics(len(rows), mean, np.square(rows - mean).mean(0))


def _along(values: ArrayLike, x: ArrayLike, axis: int) -> Array:
    shape = np.ones(np.ndim(x), int)
    shape[axis] = -1
    array: Any = np.asarray(values, np.float64).reshape(tuple(shape))
    return array
