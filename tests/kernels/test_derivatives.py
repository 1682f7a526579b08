"""Derivatives in float64 against finite differences, first and second, and forward mode on JAX."""

import numpy as np
import pytest
import ways

from evenbatch.kernels import reference

STEP = 1e-6


def differences(function, x):
    """The gradient of `function`, arrays to a number, by central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[place] += step
            ends.append(function(moved))
        gradient[place] = (ends[0] - ends[1]) / (2 * STEP)
    return gradient


def drawn(shape, axis):
    rng = np.random.default_rng(0)
    channels = shape[axis]
    x, dy = rng.normal(2, 3, shape), rng.normal(size=shape)
    return x, rng.uniform(0.5, 2, channels), rng.normal(size=channels), dy, rng.random(np.delete(shape, axis)) < 0.6


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


@pytest.mark.skipif(ways.BACKEND != "jax", reason="only JAX has forward mode for every function")
class TestForwardMode:
    def test_the_derivative_along_a_direction_is_that_of_finite_differences(self, double):
        import jax

        x, gamma, beta, direction, _ = drawn((7, 3), -1)
        with double:
            function = ways.normalize_batch(-1, 1e-3)
            tangents = (direction, np.ones(3), np.ones(3))
            _, found = jax.jvp(lambda *arguments: function(*arguments), (x, gamma, beta), tangents)
        for i, value in enumerate(found):

            def along(step, i=i):
                y, batch = reference.normalize_batch(x + step * direction, gamma + step, beta + step, -1, 1e-3)
                return (y, batch.mean, batch.variance)[i]

            np.testing.assert_allclose(value, (along(STEP) - along(-STEP)) / (2 * STEP), atol=1e-7)

    def test_the_hessian_is_that_of_finite_differences(self, double):
        import jax

        x, gamma, beta, dy, _ = drawn((4, 2), -1)
        with double:
            function = ways.normalize_batch(-1, 1e-3)
            hessian = jax.hessian(lambda x: jax.numpy.sum(dy * function(x, gamma, beta)[0]))(jax.numpy.asarray(x))
        for place in np.ndindex(x.shape):
            expected = differences(lambda x, place=place: reference.gradients(dy, x, gamma, -1, 1e-3)[0][place], x)
            np.testing.assert_allclose(hessian[place], expected, atol=1e-7)

    def test_a_batch_of_batches_is_normalized_one_by_one(self):
        import jax

        x = np.random.default_rng(0).normal(size=(3, 7, 2)).astype("float32")
        function, ones, zeros = ways.normalize_batch(-1, 1e-3), np.ones(2, "float32"), np.zeros(2, "float32")
        found = jax.vmap(lambda x: function(x, jax.numpy.asarray(ones), jax.numpy.asarray(zeros))[0])(x)
        expected = [reference.normalize_batch(one, ones, zeros, -1, 1e-3)[0] for one in x]
        np.testing.assert_allclose(found, expected, atol=1e-5)
