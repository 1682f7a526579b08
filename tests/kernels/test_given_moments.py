"""`moments` and then `normalize`, as replicas that share statistics call them: large tensors, and every gradient."""

import keras
import ml_dtypes
import numpy as np
import pytest
import ways

from evenbatch import kernels
from evenbatch.kernels import reference

LARGE = (32, 16, 16, 16)  # large for every backend
DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}


def drawn(shape, axis, mean=2.0, dtype=np.float32):
    rng = np.random.default_rng(0)
    channels = shape[axis]
    x, dy = (rng.normal(size=shape) + mean).astype(dtype), rng.normal(size=shape).astype(dtype)
    return dy, x, rng.uniform(0.5, 2, channels).astype("float32"), rng.normal(size=channels).astype("float32")


def around(shape, axis):
    """The shape of a channel's values beside the batch, and the other axes."""
    others = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    return [1 if i in others else size for i, size in enumerate(shape)], others


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [-1, 1])
def test_a_large_batch_and_its_gradients(run, axis, dtype):
    dy, x, gamma, beta = drawn(LARGE, axis, dtype=DTYPES[dtype])
    y, mean, variance = run(ways.moments_and_normalize(axis, 1e-3), x, gamma, beta, axis=axis)
    expected, batch = reference.normalize_batch(x, gamma, beta, axis, 1e-3)
    rounding = float(ml_dtypes.finfo(x.dtype).eps) * 8
    assert (y.dtype, mean.dtype) == (x.dtype, np.float32)
    np.testing.assert_allclose(mean, batch.mean, rtol=5e-6)
    np.testing.assert_allclose(variance, batch.variance, rtol=1e-5 if dtype == "float32" else 1e-4)
    np.testing.assert_allclose(y.astype("float64"), expected, rtol=rounding, atol=rounding + 1e-5)
    found = run(ways.gradients(ways.moments_and_normalize(axis, 1e-3)), dy, x, gamma, beta, axis=axis)
    dx, dgamma, dbeta = reference.gradients(dy, x, gamma, axis, 1e-3)
    np.testing.assert_allclose(found[0].astype("float64"), dx, rtol=rounding, atol=rounding + 1e-5)
    np.testing.assert_allclose(found[1], dgamma, atol=2e-3)
    np.testing.assert_allclose(found[2], dbeta, atol=2e-3)


@pytest.mark.parametrize("far", [0.0, 1e4])
@pytest.mark.parametrize(("shape", "axis"), [((2, 3, 2, 2), 1), (LARGE, 1), (LARGE, -1)])
def test_gradients_to_the_moments(run, shape, axis, far):
    dy, x, gamma, beta = drawn(shape, axis, far)
    mean = np.linspace(far - 1, far + 1, shape[axis], dtype="float32")
    variance = np.linspace(0.5, 2, shape[axis], dtype="float32")
    along, others = around(shape, axis)
    inverse = 1 / np.sqrt(variance.astype("float64") + 1e-3)
    centred = x.astype("float64") - mean.astype("float64").reshape(along)
    error = 2e-6 * x.size**0.5

    # Gradients are those to what stands in front, so each of the moments does in its turn.
    def of_mean(mean, gamma, beta, x, variance):
        return [kernels.normalize(x, mean, variance, gamma, beta, axis, 1e-3)]

    def of_variance(variance, gamma, beta, x, mean):
        return [kernels.normalize(x, mean, variance, gamma, beta, axis, 1e-3)]

    found = run(ways.gradients(of_mean), dy, mean, gamma, beta, x, variance, axis=axis)
    np.testing.assert_allclose(found[0], -dy.astype("float64").sum(others) * gamma * inverse, rtol=5e-6, atol=error)
    np.testing.assert_allclose(found[1], (dy * centred).sum(others) * inverse, rtol=5e-6, atol=error)
    found = run(ways.gradients(of_variance), dy, variance, gamma, beta, x, mean, axis=axis)
    np.testing.assert_allclose(found[0], -0.5 * (dy * centred).sum(others) * gamma * inverse**3, rtol=5e-6, atol=error)


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("far", [0.0, 20.0])
@pytest.mark.parametrize("axis", [-1, 1])
def test_derivatives_reach_the_batch_through_whatever_is_made_of_its_moments(run, times, far, axis):
    """Of which renormalization and replicas make other moments, gamma and beta. Second ones too."""
    dy, x, gamma, beta = drawn(LARGE, axis, far)
    along, others = around(LARGE, axis)

    def made_of(mean, variance, gamma, beta):
        return 0.5 * mean + 0.1, variance + 0.5 * mean / (1 + far), gamma * keras.ops.sqrt(variance + 1), beta * mean

    def own(x, gamma, beta):
        batch = kernels.moments(x, axis)
        return [kernels.normalize(x, *made_of(batch.mean, batch.variance, gamma, beta), axis, 1.0)]

    def plain(x, gamma, beta):
        mean = keras.ops.mean(x, others)
        variance = keras.ops.mean(keras.ops.square(x - keras.ops.reshape(mean, along)), others)
        made = made_of(mean, variance, gamma, beta)
        mean, variance, gamma, beta = (keras.ops.reshape(one, along) for one in made)
        return [(x - mean) * keras.ops.rsqrt(variance + 1.0) * gamma + beta]

    found = run(ways.gradients(own, times), dy, x, gamma, beta, axis=axis)
    expected = run(ways.gradients(plain, times), dy, x, gamma, beta, axis=axis)
    for one, other in zip(found, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(one / scale, other / scale, atol=1e-5 * (1 + far))
