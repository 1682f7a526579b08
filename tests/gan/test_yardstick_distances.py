"""The two distances against other ways to the same numbers."""

import numpy as np
import pytest
from scipy import linalg

from evenbatch.errors import InvalidArgument
from evenbatch.gan.yardstick.distances import (
    Gaussian,
    frechet,
    gaussian,
    kernel_distance,
    kernel_sample,
)


def features(seed, n=60, d=5, mean=0.0, scale=1.0):
    rng = np.random.default_rng(seed)
    return mean + scale * rng.normal(size=(n, d)) @ rng.normal(size=(d, d))


def frechet_of(x, y):
    return frechet(gaussian(x), gaussian(y))


def frechet_by_matrix_root(x, y):
    root = linalg.sqrtm(np.cov(x.T) @ np.cov(y.T)).real
    return ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root)


def kernel_by_loops(x, y):
    def k(a, b):
        return (a @ b / x.shape[1] + 1) ** 3

    n, m = len(x), len(y)
    within_x = sum(k(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    within_y = sum(k(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return within_x + within_y - 2 * sum(k(a, b) for a in x for b in y) / (n * m)


def kernel_of(x, y):
    return kernel_distance(kernel_sample(x), kernel_sample(y))


@pytest.mark.parametrize("seed", range(5))
def test_frechet_is_that_of_the_matrix_square_root(seed):
    x, y = features(seed), features(seed + 100, n=80, mean=0.5, scale=2.0)
    assert frechet_of(x, y) == pytest.approx(frechet_by_matrix_root(x, y), rel=1e-10)


def test_frechet_of_independent_features_has_a_closed_form():
    a, b = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.0])
    x = Gaussian(np.array([0.0, 1.0, 2.0]), np.diag(a))
    y = Gaussian(np.array([1.0, 1.0, 0.0]), np.diag(b))
    assert frechet(x, y) == pytest.approx(1 + 4 + ((a - b) ** 2).sum(), rel=1e-14)


def test_frechet_of_a_set_with_itself_is_nothing():
    x = features(0)
    assert frechet_of(x, x) < 1e-12 * gaussian(x).total_variance


def test_frechet_does_not_depend_on_the_order_of_images():
    x, y = features(0), features(1)
    assert frechet_of(x[::-1], y) == pytest.approx(frechet_of(x, y), rel=1e-12)


def test_frechet_is_symmetric():
    x, y = features(0), features(1, n=70, scale=3.0)
    assert frechet_of(x, y) == pytest.approx(frechet_of(y, x), rel=1e-12)


def test_frechet_of_moved_features_is_the_square_of_the_way():
    x = features(0)
    assert frechet_of(x, x + np.array([3.0, 0, 4.0, 0, 0])) == pytest.approx(25.0, rel=1e-10)


def test_frechet_loses_nothing_where_features_depend_on_each_other():
    x, y = features(0, d=3), features(1, d=3, scale=2.0)
    wider = np.linalg.qr(np.random.default_rng(2).normal(size=(7, 7)))[0][:3]  # rows stay of the same lengths
    assert frechet_of(x @ wider, y @ wider) == pytest.approx(frechet_of(x, y), rel=1e-10)


def test_fewer_images_than_features_are_compared_as_well():
    x = features(0, n=4, d=20)
    assert frechet_of(x, x) < 1e-10
    assert frechet_of(x, x + 1.0) == pytest.approx(20.0, rel=1e-10)


def test_a_set_of_one_image_many_times_has_no_variance():
    x = np.tile(features(0, n=1), (9, 1))
    assert gaussian(x).total_variance == pytest.approx(0.0, abs=1e-20)
    assert frechet_of(x, features(1)) > 0


def test_the_total_variance_is_the_sum_of_the_variances():
    x = features(0)
    assert gaussian(x).total_variance == pytest.approx(x.var(axis=0, ddof=1).sum(), rel=1e-12)


@pytest.mark.parametrize("sizes", [(12, 12), (7, 15), (3, 3)])
def test_the_kernel_distance_is_that_of_two_loops(sizes):
    x, y = features(0, n=sizes[0]), features(1, n=sizes[1], mean=0.3)
    assert kernel_of(x, y).value == pytest.approx(kernel_by_loops(x, y), rel=1e-11)


def test_blocks_change_nothing(monkeypatch):
    x, y = features(0, n=50), features(1, n=41)
    whole = kernel_of(x, y)
    monkeypatch.setattr("evenbatch.gan.yardstick.distances.BLOCK", 7)
    assert kernel_of(x, y) == pytest.approx(whole, rel=1e-11)


def test_the_interval_is_that_of_leaving_out_each_image_in_turn():
    x, y = features(0, n=9), features(1, n=11, mean=0.5)
    without_x = np.array([kernel_by_loops(np.delete(x, i, axis=0), y) for i in range(9)])
    without_y = np.array([kernel_by_loops(x, np.delete(y, i, axis=0)) for i in range(11)])
    error = np.sqrt(8 * without_x.var() + 10 * without_y.var())
    found = kernel_of(x, y)
    assert found.high - found.value == pytest.approx(1.959964 * error, rel=1e-6)
    assert found.value - found.low == pytest.approx(1.959964 * error, rel=1e-6)


def test_the_interval_holds_the_true_distance_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    reference = kernel_of(rng.normal(size=(4000, 2)), 0.5 + rng.normal(size=(4000, 2))).value
    found = [kernel_of(rng.normal(size=(60, 2)), 0.5 + rng.normal(size=(60, 2))) for _ in range(300)]
    inside = np.mean([low <= reference <= high for _, low, high in found])
    assert 0.90 < inside <= 1


def test_the_kernel_distance_is_not_biased():
    rng = np.random.default_rng(0)
    values = [kernel_of(rng.normal(size=(20, 4)), rng.normal(size=(20, 4))).value for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20


@pytest.mark.parametrize(("function", "least"), [(gaussian, 2), (kernel_sample, 3)])
def test_too_few_images_are_refused(function, least):
    with pytest.raises(InvalidArgument, match=rf"n at least {least}, received \({least - 1}, 5\)"):
        function(features(0, n=least - 1))
