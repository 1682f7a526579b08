"""Batches that are normalized slice by slice, against NumPy float64."""

from typing import Any

import numpy as np
import pytest
import ways
from finite_differences import differences, drawn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenbatch import kernels
from evenbatch.kernels import reference
from evenbatch.kernels.slices.cuts import rows_in_front, sizes

# One row, one less than a slice, one slice, one more, the longest last slice, two slices, and so on.
ROWS = (1, 3, 4, 5, 7, 8, 9)
SIZE = 4
QUICK = settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def arrays_of(rows: int, trailing: tuple[int, ...] = (3,), axis: int = -1) -> Any:
    rng = np.random.default_rng(rows)
    shape = (rows, *trailing)
    x, dy = rng.normal(2, 3, shape), rng.normal(size=shape)
    gamma, beta = rng.uniform(0.5, 2, shape[axis]), rng.normal(size=shape[axis])
    return [array.astype("float32") for array in (x, gamma, beta, dy)]


@pytest.mark.parametrize("rows", range(20))
def test_slices_are_as_long_as_the_paper_s_and_the_last_takes_the_rest(rows):
    assert sizes(rows, SIZE) == [part.stop - part.start for part in reference.slices(rows, SIZE)]


@pytest.mark.parametrize("rows", range(SIZE, 40))
def test_no_slice_is_shorter_than_the_size_nor_twice_as_long(rows):
    assert all(SIZE <= one < 2 * SIZE for one in sizes(rows, SIZE))


@pytest.mark.parametrize("rows", range(20))
def test_the_rows_in_front_are_slices_of_exactly_the_size(rows):
    front = sizes(rows_in_front(rows, SIZE), SIZE)
    assert front == [one for one in sizes(rows, SIZE) if one == SIZE]


@pytest.mark.parametrize("rows", ROWS)
def test_each_slice_is_normalized_as_the_paper_says(run, rows):
    x, gamma, beta, _ = arrays_of(rows)
    y, *_ = run(ways.normalize_slices(-1, 1e-3, SIZE), x, gamma, beta)
    np.testing.assert_allclose(y, reference.normalize_slices(x, gamma, beta, -1, 1e-3, SIZE), atol=2e-5)


@pytest.mark.parametrize("rows", ROWS)
def test_the_merged_statistics_are_those_of_the_batch(run, rows):
    x, gamma, beta, _ = arrays_of(rows)
    _, mean, variance, count = run(ways.normalize_slices(-1, 1e-3, SIZE), x, gamma, beta)
    batch = reference.moments(x, -1)
    assert count == batch.count
    np.testing.assert_allclose(mean, batch.mean, rtol=1e-5)
    np.testing.assert_allclose(variance, batch.variance, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("trailing", "axis"), [((3, 5), 1), ((2, 3, 4), -1), ((2, 3, 4), 2)])
@pytest.mark.parametrize("rows", [8, 9])
def test_any_axis_but_the_first_may_be_the_one_of_the_channels(run, rows, trailing, axis):
    x, gamma, beta, _ = arrays_of(rows, trailing, axis)
    y, *_ = run(ways.normalize_slices(axis, 1e-3, SIZE), x, gamma, beta, axis=axis)
    np.testing.assert_allclose(y, reference.normalize_slices(x, gamma, beta, axis, 1e-3, SIZE), atol=2e-5)


@pytest.mark.parametrize("shape", [(0, 3), (0, 2, 3), (5, 0, 3)])
def test_a_batch_without_values_has_statistics_that_weigh_nothing(run, shape):
    x, ones = np.zeros(shape, "float32"), np.ones(3, "float32")
    y, mean, variance, count = run(ways.normalize_slices(-1, 1e-3, SIZE), x, ones, ones)
    assert (y.shape, count, mean.tolist(), variance.tolist()) == (shape, 0, [0, 0, 0], [0, 0, 0])


@pytest.mark.parametrize("rows", [3, 8, 9])
def test_positions_that_a_mask_takes_out_do_not_count_in_their_slice(run, rows):
    x, gamma, beta, _ = arrays_of(rows, (5, 3))
    mask = np.random.default_rng(1).random((rows, 5)) < 0.5
    y, mean, variance, count = run(ways.normalize_masked_slices(-1, 1e-3, SIZE), x, gamma, beta, mask)
    batch = reference.masked_moments(x, mask, -1)
    assert count == batch.count
    np.testing.assert_allclose(y, reference.normalize_slices(x, gamma, beta, -1, 1e-3, SIZE, mask), atol=1e-4)
    np.testing.assert_allclose(mean, batch.mean, rtol=1e-5)
    np.testing.assert_allclose(variance, batch.variance, rtol=1e-5)


def test_a_slice_that_is_all_masked_weighs_nothing_in_the_merge(run):
    x, gamma, beta, _ = arrays_of(9, (2, 3))
    mask = np.arange(9)[:, None] >= np.full((1, 2), SIZE)
    _, mean, variance, count = run(ways.normalize_masked_slices(-1, 1e-3, SIZE), x, gamma, beta, mask)
    assert count == 10
    np.testing.assert_allclose(mean, x[SIZE:].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(variance, x[SIZE:].var((0, 1)), rtol=1e-5)


def test_a_mask_may_be_one_for_all_rows(run):
    x, gamma, beta, _ = arrays_of(9, (2, 3))
    mask = np.array([[True, False]])
    y, *_ = run(ways.normalize_masked_slices(-1, 1e-3, SIZE), x, gamma, beta, mask)
    np.testing.assert_allclose(y, reference.normalize_slices(x, gamma, beta, -1, 1e-3, SIZE, mask), atol=1e-4)


@pytest.mark.parametrize(("rows", "trailing", "axis"), [(3, (3,), -1), (8, (2, 3), -1), (9, (3, 2, 2), 1)])
def test_gradients_are_those_of_finite_differences(run, double, rows, trailing, axis):
    x, gamma, beta, dy, _ = drawn((rows, *trailing), axis)

    def loss(x, gamma, beta):
        return (dy * reference.normalize_slices(x, gamma, beta, axis, 1e-3, SIZE)).sum()

    with double:
        found = run(ways.gradients(ways.normalize_slices(axis, 1e-3, SIZE)), dy, x, gamma, beta, axis=axis)
    np.testing.assert_allclose(found[0], differences(lambda x: loss(x, gamma, beta), x), atol=1e-7)
    np.testing.assert_allclose(found[1], differences(lambda gamma: loss(x, gamma, beta), gamma), atol=1e-7)
    np.testing.assert_allclose(found[2], differences(lambda beta: loss(x, gamma, beta), beta), atol=1e-7)


@pytest.mark.parametrize("rows", [7, 8, 13])
def test_gradients_in_float32_too(run, rows):
    x, gamma, beta, dy = arrays_of(rows, (2, 3))
    found = run(ways.gradients(ways.normalize_slices(-1, 1e-3, SIZE)), dy, x, gamma, beta)
    for one, expected in zip(found, reference.slice_gradients(dy, x, gamma, -1, 1e-3, SIZE), strict=True):
        np.testing.assert_allclose(one, expected, atol=3e-4)


def test_gradients_of_a_masked_batch_are_those_of_finite_differences(run, double):
    x, gamma, beta, dy, mask = drawn((9, 2, 3), -1)

    def loss(x):
        return (dy * reference.normalize_slices(x, gamma, beta, -1, 1e-3, SIZE, mask)).sum()

    with double:
        found = run(ways.gradients(ways.normalize_masked_slices(-1, 1e-3, SIZE)), dy, x, gamma, beta, mask)
    np.testing.assert_allclose(found[0], differences(loss, x), atol=1e-6)


def test_second_derivatives_are_those_of_finite_differences(run):
    x, gamma, beta, dy, _ = (array.astype("float32") for array in drawn((9, 3), -1))
    found = run(ways.gradients(ways.normalize_slices(-1, 1e-3, SIZE), times=2), dy, x, gamma, beta)

    def total(x):
        return (reference.slice_gradients(dy, x, gamma, -1, 1e-3, SIZE)[0] ** 3).sum()

    np.testing.assert_allclose(found[0], differences(total, x.astype("float64")), atol=2e-4)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_outputs_have_the_dtype_of_the_inputs(run, dtype):
    import ml_dtypes

    x, gamma, beta, _ = arrays_of(9)
    x = x.astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    y, mean, *_ = run(ways.normalize_slices(-1, 1e-3, SIZE), x, gamma, beta)
    expected = reference.normalize_slices(x, gamma, beta, -1, 1e-3, SIZE)
    assert (y.dtype, mean.dtype) == (x.dtype, np.dtype("float32"))
    np.testing.assert_allclose(y.astype("float32"), expected, atol=0.02)


def test_far_from_zero_slices_are_as_exact_as_batches(run):
    rng = np.random.default_rng(0)
    x = (1e4 + rng.normal(size=(600, 4))).astype("float32")
    ones, zeros = np.ones(4, "float32"), np.zeros(4, "float32")
    y, mean, variance, _ = run(ways.normalize_slices(-1, 1e-3, 100), x, ones, zeros)
    batch = reference.moments(x, -1)
    np.testing.assert_allclose(y, reference.normalize_slices(x, ones, zeros, -1, 1e-3, 100), atol=4e-3)
    np.testing.assert_allclose(mean, batch.mean, atol=2e-3)
    np.testing.assert_allclose(variance, batch.variance, rtol=1e-4)


@QUICK
@given(st.lists(st.integers(0, 6), min_size=1, max_size=6), st.sampled_from([0.0, 30.0, 1e4]))
def test_the_statistics_of_parts_are_merged_to_those_of_all(cuts, far):
    rng = np.random.default_rng(sum(cuts))
    parts = [(far + rng.normal(rng.normal(), 1, (count, 2))).astype("float32") for count in cuts]
    found = [reference.moments(part, -1) for part in parts]
    means, variances = (np.stack([one[k] for one in found]).astype("float32") for k in (1, 2))
    merged = kernels.merged(kernels.Statistics(tuple(cuts), *map(ways.tensor, (means, variances))))
    expected = reference.moments(np.concatenate(parts), -1)
    assert merged.count == expected.count
    np.testing.assert_allclose(ways.array(merged.mean), expected.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ways.array(merged.variance), expected.variance, rtol=1e-4, atol=1e-6 + 1e-7 * far)


def test_counts_may_be_a_tensor():
    parts = kernels.Statistics(*map(ways.tensor, np.array([[1, 3], [0, 4], [0, 0]], "float32")[:, :, None]))
    merged = kernels.merged(parts._replace(count=parts.count[:, 0]))
    assert [ways.array(value).item() for value in merged] == [4, 3, 3]
