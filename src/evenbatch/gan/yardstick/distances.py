"""Two distances of two sets of features, one row an image; both are 0 where the distributions are the same.

The first grows as sets get smaller: compare sets of one size only. The second does not, and tells its uncertainty.
"""

from typing import Any, NamedTuple

import numpy as np

from evenbatch.errors import InvalidArgument

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 1_024
NORMAL_975 = 1.959963984540054


class Gaussian(NamedTuple):
    """Mean (d,) and a factor F (k, d) of the covariance FᵀF of features, with k the smaller of n and d."""

    mean: Array
    factor: Array

    @property
    def total_variance(self) -> float:
        """The trace of the covariance."""
        return float((self.factor**2).sum())


def gaussian(features: Array) -> Gaussian:
    """The Gaussian of the same mean and (unbiased) covariance as features (n, d).

    The factor is the triangle of a QR decomposition of the deviations, so that no covariance is ever formed: fewer rows
    than features, or features that depend on each other, lose nothing.
    """
    _require_rows(features, 2)
    features = np.asarray(features, dtype="float64")
    mean = features.mean(axis=0)
    return Gaussian(mean, np.linalg.qr(features - mean, mode="r") / np.sqrt(len(features) - 1))


def frechet(a: Gaussian, b: Gaussian) -> float:
    """The squared Fréchet distance `|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½)`.

    The eigenvalues of `Σ₁Σ₂` are those of `F₁F₂ᵀ (F₁F₂ᵀ)ᵀ`, so the trace of its root is the sum of the singular values
    of `F₁F₂ᵀ`. No root of a matrix is taken, which rounding makes complex where a covariance is not of full rank.

    Source:
        Dowson & Landau 1982, "The Fréchet distance between multivariate normal distributions", equation 4; of features
        of images: Heusel et al. 2017, https://arxiv.org/abs/1706.08500, equation 6.
    """
    shared = np.linalg.svd(a.factor @ b.factor.T, compute_uv=False).sum()
    squared = ((a.mean - b.mean) ** 2).sum() + a.total_variance + b.total_variance - 2 * shared
    return max(float(squared), 0.0)  # below it by rounding alone


class KernelSample(NamedTuple):
    """Features (n, d), and for each row the sum of its kernel with every other row (n,)."""

    features: Array
    sums: Array


class KernelDistance(NamedTuple):
    """An estimate, which may be below 0, and its 95 % interval."""

    value: float
    low: float
    high: float


def kernel_sample(features: Array) -> KernelSample:
    """Features prepared for `kernel_distance`: what depends on one set alone is computed once."""
    _require_rows(features, 3)
    features = np.asarray(features, dtype="float64")
    diagonal = kernel((features**2).sum(axis=1), features.shape[1])
    return KernelSample(features, _kernel_sums(features, features)[0] - diagonal)


def kernel_distance(x: KernelSample, y: KernelSample) -> KernelDistance:
    """The unbiased squared maximum mean discrepancy with the kernel `(x·y/d + 1)³`.

    `Σ_{i≠j} k(xᵢ, xⱼ) / n(n-1) + Σ_{i≠j} k(yᵢ, yⱼ) / m(m-1) - 2 Σ k(xᵢ, yⱼ) / nm`, with all images rather than the mean
    over blocks of them. The interval is the normal one of the jackknife's standard error (leaving out one image of
    either set in turn), which is never too small in the mean (Efron & Stein 1981), also where both sets are alike.

    Source:
        Gretton et al. 2012, "A kernel two-sample test", equation 3; Bińkowski et al. 2018,
        https://arxiv.org/abs/1801.01401, section 4, for the kernel on features of images.
    """
    of_x, of_y = _kernel_sums(x.features, y.features)
    n, m, between = len(x.sums), len(y.sums), float(of_x.sum())
    within_x, within_y = float(x.sums.sum()), float(y.sums.sum())
    value = within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - 2 * between / (n * m)
    without_x = (within_x - 2 * x.sums) / ((n - 1) * (n - 2)) - 2 * (between - of_x) / ((n - 1) * m)
    without_y = (within_y - 2 * y.sums) / ((m - 1) * (m - 2)) - 2 * (between - of_y) / (n * (m - 1))
    half = NORMAL_975 * float(np.sqrt((n - 1) * without_x.var() + (m - 1) * without_y.var()))
    return KernelDistance(value, value - half, value + half)


def kernel(products: Array, d: int) -> Array:
    """`(x·y/d + 1)³` of inner products."""
    base = products / d + 1
    return np.asarray(base * base * base)


def _kernel_sums(x: Array, y: Array) -> tuple[Array, Array]:
    """Sums over the rows of `y` for each row of `x`, and the other way round; block by block, for memory's sake."""
    of_x, of_y = np.empty(len(x)), np.zeros(len(y))
    for start in range(0, len(x), BLOCK):
        block = kernel(x[start : start + BLOCK] @ y.T, x.shape[1])
        of_x[start : start + BLOCK] = block.sum(axis=1)
        of_y += block.sum(axis=0)
    return of_x, of_y


def _require_rows(features: Array, least: int) -> None:
    if features.ndim != 2 or len(features) < least:
        raise InvalidArgument(f"features must be of shape (n, d) with n at least {least}, received {features.shape}")
