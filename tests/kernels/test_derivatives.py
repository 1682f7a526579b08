"""Derivatives in float64 against finite differences, first and second."""

import numpy as np
import pytest
import ways
from finite_differences import differences, drawn

from evenbatch.kernels import reference


@pytest.mark.parametrize(("shape", "axis"), [((7, 3), -1), ((2, 3, 2, 2), 1), ((3, 2, 4), -1)])
def test_gradients_are_those_of_finite_differences(run, double, shape, axis):
    x, gamma, beta, dy, _ = drawn(shape, axis)

    def loss(x, gamma, beta):
        return (dy * reference.normalize_batch(x, gamma, beta, axis, 1e-3)[0]).sum()

    with double:
        found = run(ways.gradients(ways.normalize_batch(axis, 1e-3)), dy, x, gamma, beta, axis=axis)
    np.testing.assert_allclose(found[0], differences(lambda x: loss(x, gamma, beta), x), atol=1e-7)
    np.testing.assert_allclose(found[1], differences(lambda gamma: loss(x, gamma, beta), gamma), atol=1e-7)
    np.testing.assert_allclose(found[2], differences(lambda beta: loss(x, gamma, beta), beta), atol=1e-7)


def test_gradients_of_a_masked_batch_are_those_of_finite_differences(run, double):
    x, gamma, beta, dy, mask = drawn((5, 4, 3), -1)

    def loss(x):
        batch = reference.masked_moments(x, mask, -1)
        return (dy * reference.normalize(x, batch.mean, batch.variance, gamma, beta, -1, 1e-3)).sum()

    with double:
        found = run(ways.gradients(ways.normalize_masked(-1, 1e-3)), dy, x, gamma, beta, mask)
    np.testing.assert_allclose(found[0], differences(loss, x), atol=1e-7)


@pytest.mark.parametrize(("shape", "axis"), [((7, 3), -1), ((2, 3, 2, 2), 1)])
def test_second_derivatives_are_those_of_finite_differences(run, double, shape, axis):
    x, gamma, beta, dy, _ = drawn(shape, axis)

    def total(x):
        return (reference.gradients(dy, x, gamma, axis, 1e-3)[0] ** 3).sum()

    with double:
        found = run(ways.gradients(ways.normalize_batch(axis, 1e-3), times=2), dy, x, gamma, beta, axis=axis)
    np.testing.assert_allclose(found[0], differences(total, x), atol=1e-7)


@pytest.mark.parametrize(("shape", "axis"), [((7, 3), -1), ((2, 3, 2, 2), 1)])
def test_second_derivatives_in_float32_too(run, shape, axis):
    x, gamma, beta, dy, _ = (array.astype("float32") for array in drawn(shape, axis))
    found = run(ways.gradients(ways.normalize_batch(axis, 1e-3), times=2), dy, x, gamma, beta, axis=axis)

    def total(x):
        return (reference.gradients(dy, x, gamma, axis, 1e-3)[0] ** 3).sum()

    np.testing.assert_allclose(found[0], differences(total, x.astype("float64")), atol=2e-5)
