"""The kernels against NumPy float64, over shapes, axes, dtypes, masks, modes and hard values."""

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import ways
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenbatch.kernels import reference

DTYPES = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16}
# Spread and mean of what is drawn. float16 ends at 65504; of float32 the squares end at 1.8e19, and the reciprocal of
# the cube, which derivatives hold, at 1e13.
HARD = {
    "usual": (1.0, 0.0),
    "far": (1.0, 30.0),
    "very far": (1.0, 1e4),
    "tiny": (1e-6, 0.0),
    "large": (1e4, 0.0),
    "huge": (1e12, 0.0),
    "constant": (0.0, 3.0),
}
QUICK = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def batches(draw: Any) -> tuple[Any, int, float, Any, Any, Any]:
    """Inputs, axis, epsilon, gamma, beta and a mask."""
    shape = draw(st.lists(st.integers(0, 5), min_size=2, max_size=5))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] = draw(st.integers(1, 5))
    kind, dtype = draw(st.sampled_from(sorted(HARD))), draw(st.sampled_from(sorted(DTYPES)))
    spread, mean = HARD[kind]
    if dtype == "float16" and kind == "huge":
        spread = 1e4
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = spread * rng.normal(size=shape) + mean * rng.choice([-1, 1], (shape[axis],)).reshape(_along(shape, axis))
    mask = rng.random(np.delete(shape, axis)) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    epsilon = draw(st.sampled_from([1e-3, 1e-5]))
    gamma, beta = (rng.uniform(0.5, 2, shape[axis]).astype("float32") for _ in range(2))
    return x.astype(DTYPES[dtype]), axis, epsilon, gamma, beta, mask


def _along(shape: Any, axis: int) -> list[int]:
    return [shape[axis] if i == axis % len(shape) else 1 for i in range(len(shape))]


def assert_near(found: Any, expected: Any, x: Any, axis: int, epsilon: float, gamma: Any) -> None:
    """Within what rounding at the size of the mean must bring about: 2⁻²⁴ · |mean| / std, and a few times that."""
    y, mean, variance = (np.asarray(value, np.float64) for value in found)
    expected_y, batch = expected
    assert (found[0].dtype, found[0].shape) == (x.dtype, x.shape)
    unit = 32 * 2.0**-24
    std = np.sqrt(batch.variance + epsilon)
    mean_error = unit * (np.abs(batch.mean) + std)
    variance_error = unit * std**2 + mean_error**2
    normalized = np.abs(expected_y) + 3 * np.reshape(gamma, _along(x.shape, axis))
    relative = np.reshape(mean_error / std + variance_error / std**2, _along(x.shape, axis))
    y_error = relative * normalized + float(ml_dtypes.finfo(x.dtype).eps) * np.abs(expected_y)
    assert (np.abs(mean - batch.mean) <= mean_error).all()
    assert (np.abs(variance - batch.variance) <= variance_error).all()
    assert (np.abs(y - expected_y) <= y_error).all()


@QUICK
@given(batches())
def test_a_batch_is_normalized_as_the_paper_says(run, drawn):
    x, axis, epsilon, gamma, beta, _ = drawn
    found = run(ways.normalize_batch(axis, epsilon), x, gamma, beta, axis=axis)
    assert_near(found, reference.normalize_batch(x, gamma, beta, axis, epsilon), x, axis, epsilon, gamma)


@QUICK
@given(batches())
def test_positions_that_a_mask_takes_out_do_not_count(run, drawn):
    x, axis, epsilon, gamma, beta, mask = drawn
    *found, count = run(ways.normalize_masked(axis, epsilon), x, gamma, beta, mask, axis=axis)
    batch = reference.masked_moments(x, mask, axis)
    y = reference.normalize(x, batch.mean, batch.variance, gamma, beta, axis, epsilon)
    assert count == batch.count
    # What the mask takes out may lie any number of deviations from the mean of the rest.
    inside = np.broadcast_to(np.expand_dims(mask, axis), x.shape)
    found[0], y = (np.where(inside, values, 0) for values in (found[0].astype("float64"), y))
    assert_near([found[0].astype(x.dtype), *found[1:]], (y, batch), x, axis, epsilon, gamma)


@QUICK
@given(batches())
def test_the_gradient_is_that_of_the_paper(run, drawn):
    x, axis, epsilon, gamma, beta, _ = drawn
    dy = np.random.default_rng(0).normal(size=x.shape).astype(x.dtype)
    found = run(ways.gradients(ways.normalize_batch(axis, epsilon)), dy, x, gamma, beta, axis=axis)
    batch = reference.moments(x, axis)
    std = np.sqrt(batch.variance + epsilon)
    relative = 64 * 2.0**-24 * (1 + np.abs(batch.mean) / std) * (1 + batch.count)
    scales = (np.reshape(gamma * relative / std, _along(x.shape, axis)), relative, relative)
    for value, expected, scale in zip(found, reference.gradients(dy, x, gamma, axis, epsilon), scales, strict=True):
        limits = ml_dtypes.finfo(value.dtype)
        error = scale + 2 * float(limits.eps) * np.abs(expected) + float(limits.smallest_normal)
        assert (np.abs(value.astype("float64") - expected) <= error).all()


@QUICK
@given(batches())
def test_inference_normalizes_by_what_it_is_given(run, drawn):
    x, axis, epsilon, gamma, beta, _ = drawn
    spread, rng = float(np.abs(x.astype("float64")).max(initial=1)), np.random.default_rng(1)
    mean = (np.array(x.astype("float64").mean() if x.size else 0.0) + np.zeros(x.shape[axis])).astype("float32")
    variance = (rng.uniform(0.5, 2, x.shape[axis]) * min(spread, 1e3) ** 2).astype("float32")
    found = run(ways.inference(axis, epsilon), x, gamma, beta, mean, variance, axis=axis)[0]
    expected = reference.normalize(x, mean, variance, gamma, beta, axis, epsilon)
    # The moments are exact here: what is left is the rounding of the output and, up to 100 deviations, of a product.
    scale = np.reshape(gamma * (1 + np.minimum(np.abs(mean) / np.sqrt(variance), 100)), _along(x.shape, axis))
    error = 8 * 2.0**-24 * (scale + np.abs(expected)) + float(ml_dtypes.finfo(x.dtype).eps) * np.abs(expected)
    assert (found.dtype, found.shape) == (x.dtype, x.shape)
    assert (np.abs(found.astype("float64") - expected) <= error).all()


def test_a_mask_may_broadcast(run):
    x = np.random.default_rng(0).normal(size=(4, 3, 2)).astype("float32")
    mask = np.array([[True], [False], [True], [True]])
    ones, zeros = np.ones(2, "float32"), np.zeros(2, "float32")
    *_, mean, variance, count = run(ways.normalize_masked(-1, 1e-3), x, ones, zeros, mask)
    assert count == 9
    np.testing.assert_allclose(mean, x[[0, 2, 3]].mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(variance, x[[0, 2, 3]].var((0, 1)), atol=1e-6)


def test_what_is_no_number_reaches_its_channel_and_no_other(run):
    x = np.ones((6, 3), "float32") * np.arange(6, dtype="float32")[:, None]
    x[2, 1] = np.nan
    y, mean, variance = run(ways.normalize_batch(-1, 1e-3), x, np.ones(3, "float32"), np.zeros(3, "float32"))
    for values in (y.sum(0), mean, variance):
        assert np.isnan(values).tolist() == [False, True, False]


@pytest.mark.parametrize("ratio", [1e5, 1e6])
def test_a_variance_is_never_negative(run, ratio):
    x = (ratio + np.random.default_rng(0).normal(size=(300, 4)) * 1e-3).astype("float32")
    y, _, variance = run(ways.normalize_batch(-1, 0.0), x, np.ones(4, "float32"), np.zeros(4, "float32"))
    assert (variance >= 0).all()
    assert not np.isnan(y[:, variance > 0]).any()


@pytest.mark.parametrize("size", [400, 20_000])
def test_a_mean_whose_square_overflows_is_normalized(run, size):
    x = (1e20 + 1e17 * np.random.default_rng(0).normal(size=(size, 2))).astype("float32")
    y, _, variance = run(ways.normalize_batch(-1, 1e-3), x, np.ones(2, "float32"), np.zeros(2, "float32"))
    np.testing.assert_allclose(variance, x.astype("float64").var(0), rtol=0.02)
    assert not np.isnan(y).any()


def test_a_variance_that_overflows_is_infinite_and_normalizes_to_nothing(run):
    x = (1e30 * np.random.default_rng(0).normal(size=(64, 2))).astype("float32")
    y, _, variance = run(ways.normalize_batch(-1, 1e-3), x, np.ones(2, "float32"), np.full(2, 0.5, "float32"))
    np.testing.assert_array_equal(variance, np.inf)
    np.testing.assert_array_equal(y, 0.5)
