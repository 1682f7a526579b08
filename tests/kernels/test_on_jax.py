"""Forward mode and batching, which JAX has for every function."""

import jax
import numpy as np
import ways
from finite_differences import STEP, differences, drawn

from evenbatch.kernels import reference


def test_the_derivative_along_a_direction_is_that_of_finite_differences(double):
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


def test_the_hessian_is_that_of_finite_differences(double):
    x, gamma, beta, dy, _ = drawn((4, 2), -1)
    with double:
        function = ways.normalize_batch(-1, 1e-3)
        hessian = jax.hessian(lambda x: jax.numpy.sum(dy * function(x, gamma, beta)[0]))(jax.numpy.asarray(x))
    for place in np.ndindex(x.shape):
        expected = differences(lambda x, place=place: reference.gradients(dy, x, gamma, -1, 1e-3)[0][place], x)
        np.testing.assert_allclose(hessian[place], expected, atol=1e-7)


def test_a_batch_of_batches_is_normalized_one_by_one():
    x = np.random.default_rng(0).normal(size=(3, 7, 2)).astype("float32")
    function, ones, zeros = ways.normalize_batch(-1, 1e-3), np.ones(2, "float32"), np.zeros(2, "float32")
    found = jax.vmap(lambda x: function(x, jax.numpy.asarray(ones), jax.numpy.asarray(zeros))[0])(x)
    expected = [reference.normalize_batch(one, ones, zeros, -1, 1e-3)[0] for one in x]
    np.testing.assert_allclose(found, expected, atol=1e-5)
