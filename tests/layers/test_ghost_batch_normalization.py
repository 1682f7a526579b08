"""The layer that normalizes slices of the batch, against NumPy float64."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evenbatch.errors import InvalidArgument
from evenbatch.kernels import reference
from evenbatch.layers import BatchNormalization, GhostBatchNormalization

BACKEND = keras.backend.backend()
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's own interface")
# One row, one less than a slice, one slice, one more, the longest last slice, two slices, one more.
ROWS = (1, 3, 4, 5, 7, 8, 9)
QUICK = settings(
    max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def drawn(shape, far=2.0):
    return (far + 3 * np.random.default_rng(shape[0]).normal(size=shape)).astype("float32")


def made(shape, axis=-1, **arguments):
    """A layer with slices of four rows and weights that nobody would guess, and these."""
    layer = GhostBatchNormalization(4, axis=axis, momentum=0.75, **arguments)
    layer.build(shape)
    weights = [np.random.default_rng(1).uniform(0.5, 1.5, shape[axis]).astype("float32") for _ in range(4)]
    layer.set_weights([*weights, *layer.get_weights()[4:]])
    return layer, weights


@pytest.mark.parametrize("rows", ROWS)
def test_each_slice_is_normalized_by_itself(rows):
    x = drawn((rows, 3))
    layer, (gamma, beta, *_) = made(x.shape)
    expected = reference.normalize_slices(x, gamma, beta, -1, 1e-3, 4)
    np.testing.assert_allclose(numbers(layer(x, training=True)), expected, atol=2e-5)


@pytest.mark.parametrize("rows", ROWS[1:])
def test_the_moving_statistics_follow_those_of_the_whole_batch(rows):
    x = drawn((rows, 3))
    layer, (*_, mean, variance) = made(x.shape)
    layer(x, training=True)
    batch = reference.moments(x, -1)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * batch.mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.75 * variance + 0.25 * batch.variance, rtol=1e-5)


def test_the_moving_statistics_are_those_of_the_plain_layer():
    x = drawn((13, 2, 3))
    ghost, plain = GhostBatchNormalization(4), BatchNormalization()
    for layer in (ghost, plain):
        layer(x, training=True)
    np.testing.assert_allclose(ghost.get_weights(), plain.get_weights(), rtol=1e-5)


@QUICK
@given(st.integers(1, 12), st.integers(2, 6), st.sampled_from([(3, 1), (2, 3, 2), (3, 2, 1), (2, 2, 2, -1)]))
def test_any_batch_any_slice_and_any_axis(rows, size, trailing):
    *trailing, axis = trailing
    x = drawn((rows, *trailing))
    ones, zeros = np.ones(x.shape[axis]), np.zeros(x.shape[axis])
    y = GhostBatchNormalization(size, axis=axis)(x, training=True)
    np.testing.assert_allclose(numbers(y), reference.normalize_slices(x, ones, zeros, axis, 1e-3, size), atol=5e-5)


def test_a_batch_of_one_slice_is_normalized_as_by_the_plain_layer():
    x = drawn((31, 4))
    ghost, plain = (numbers(layer(x, training=True)) for layer in (GhostBatchNormalization(), BatchNormalization()))
    np.testing.assert_allclose(ghost, plain, atol=1e-5)


def test_slices_do_not_see_each_other():
    x = drawn((8, 3))
    layer, _ = made(x.shape)
    first = numbers(layer(x, training=True))[:4]
    x[4:] += 100
    np.testing.assert_array_equal(numbers(layer(x, training=True))[:4], first)


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3), (5, 0, 3)])
def test_a_batch_without_values_leaves_the_statistics_alone(shape):
    layer, (*_, mean, variance) = made(shape)
    assert tuple(layer(np.zeros(shape, "float32"), training=True).shape) == shape
    np.testing.assert_array_equal(layer.moving_mean, mean)
    np.testing.assert_array_equal(layer.moving_variance, variance)


def test_one_value_per_channel_moves_the_mean_alone():
    layer, (*_, mean, variance) = made((1, 3))
    layer(np.full((1, 3), 4.5, "float32"), training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * 4.5, rtol=1e-6)
    np.testing.assert_array_equal(layer.moving_variance, variance)


@pytest.mark.parametrize(("shape", "axis"), [((9, 5, 3), -1), ((9, 3, 5), 1), ((9, 3), -1), ((3, 5, 2), -1)])
def test_a_mask_keeps_positions_out_of_their_slice(shape, axis):
    x, mask = drawn(shape), np.random.default_rng(0).random(np.delete(shape, axis)) < 0.6
    layer, (gamma, beta, *_) = made(shape, axis)
    y = numbers(layer(x, training=True, mask=mask))
    expected = reference.normalize_slices(x, gamma, beta, axis, 1e-3, 4, mask)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("shape", "axis"), [((9, 5, 3), -1), ((9, 3, 5), 1)])
def test_the_moving_statistics_follow_what_the_mask_leaves_in(shape, axis):
    x, mask = drawn(shape), np.random.default_rng(0).random(np.delete(shape, axis)) < 0.6
    layer, (*_, mean, variance) = made(shape, axis)
    layer(x, training=True, mask=mask)
    batch = reference.masked_moments(x, mask, axis)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * batch.mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.75 * variance + 0.25 * batch.variance, rtol=1e-5)


def test_a_slice_that_is_all_masked_weighs_nothing():
    x = drawn((8, 3))
    layer, (*_, mean, _) = made(x.shape)
    layer(x, training=True, mask=np.arange(8) >= 4)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * x[4:].mean(0), rtol=1e-5)


def test_a_batch_that_is_all_masked_changes_nothing():
    layer, weights = made((9, 3), debias=True)
    layer(drawn((9, 3)), training=True, mask=np.zeros(9, bool))
    for found, expected in zip(layer.get_weights(), [*weights, np.zeros(2)], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_far_from_zero_slices_are_normalized_exactly():
    x = (1e4 + np.random.default_rng(0).normal(size=(3000, 64))).astype("float32")
    layer = GhostBatchNormalization(1000, momentum=0.0)
    y = numbers(layer(x, training=True))
    np.testing.assert_allclose(y, reference.normalize_slices(x, np.ones(64), np.zeros(64), -1, 1e-3, 1000), atol=0.01)
    np.testing.assert_allclose(layer.moving_variance, x.astype("float64").var(0), rtol=1e-3)


def test_debias_makes_one_batch_enough():
    x = drawn((9, 3))
    layer = GhostBatchNormalization(4, debias=True)
    layer(x, training=True)
    np.testing.assert_allclose(layer.moving_mean, x.mean(0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, x.var(0), rtol=1e-5)


def stepped(x, size, **how):
    """Weights after fit has taken one step of gradient descent on `sum(y * target)`, and those of the oracle."""
    target = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, GhostBatchNormalization(size)(inputs))
    model.compile(keras.optimizers.SGD(1.0), lambda t, y: keras.ops.sum(t * y, axis=-1), **how)
    model.fit(x, target, batch_size=len(x), shuffle=False, verbose=0)
    _, dgamma, dbeta = reference.slice_gradients(target / len(x), x, np.ones(x.shape[-1]), -1, 1e-3, size)
    return model.layers[-1].get_weights()[:2], [1 - dgamma, -dbeta]


@pytest.mark.parametrize(
    ("rows", "how"),
    [
        *(pytest.param(rows, {}, id=f"{rows}") for rows in (3, 8, 9)),
        pytest.param(9, {"jit_compile": True}, id="9-compiled", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_fit_takes_the_gradients_of_the_paper(rows, how):
    for found, expected in zip(*stepped(drawn((rows, 3)), 4, **how), strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-5)


def test_fit_takes_large_slices_too():
    for found, expected in zip(*stepped(drawn((40, 4096)), 32), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_fit_follows_batches_of_any_size():
    x = drawn((22, 3))
    inputs = keras.Input((3,))
    layer = GhostBatchNormalization(4, debias=True)
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(inputs)))
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], batch_size=9, shuffle=False, verbose=0)  # 9, 9 and 4
    weights = 0.99 ** np.arange(2, -1, -1)
    expected = np.average([x[start : start + 9].mean(0) for start in (0, 9, 18)], 0, weights)
    np.testing.assert_allclose(layer.moving_mean, expected, rtol=1e-4)


@on_tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("trailing", [(3,), (64, 1024)])
def test_a_graph_takes_batches_of_any_size(jit_compile, trailing):
    import tensorflow as tf

    layer = GhostBatchNormalization(4)
    layer.build((None, *trailing))
    run = tf.function(
        lambda x: layer(x, training=True), jit_compile=jit_compile, input_signature=[tf.TensorSpec((None, *trailing))]
    )
    ones, zeros = np.ones(trailing[-1]), np.zeros(trailing[-1])
    for rows in (3, 8, 9):
        x = drawn((rows, *trailing))
        np.testing.assert_allclose(run(x), reference.normalize_slices(x, ones, zeros, -1, 1e-3, 4), atol=1e-4)


@pytest.mark.parametrize("size", [1, 0, -4, 2.5, "32", None, True])
def test_a_size_that_is_none_is_named(size):
    with pytest.raises(
        InvalidArgument, match=f"virtual_batch_size must be an integer of at least 2.*received {size!r}"
    ):
        GhostBatchNormalization(size)


def test_a_size_of_numpy_s_is_kept_as_an_integer():
    assert type(GhostBatchNormalization(np.int64(16)).virtual_batch_size) is int


@pytest.mark.parametrize(("axis", "shape"), [(0, (8, 3)), (-2, (8, 3)), (-3, (8, 4, 3))])
def test_the_first_axis_cannot_be_the_one_of_the_channels(axis, shape):
    with pytest.raises(InvalidArgument, match=f"axis must not be the first one .* received axis={axis}"):
        GhostBatchNormalization(axis=axis).build(shape)


@pytest.mark.parametrize(("arguments", "name"), [({"axis": 1.5}, "axis"), ({"momentum": 2}, "momentum")])
def test_other_arguments_are_checked_as_in_the_plain_layer(arguments, name):
    with pytest.raises(InvalidArgument, match=f"{name} must be"):
        GhostBatchNormalization(**arguments)


def test_a_mask_that_does_not_fit_is_named():
    with pytest.raises(InvalidArgument, match=r"mask must have the shape .*received the shape \(8, 9\)"):
        GhostBatchNormalization()(np.ones((8, 5, 3), "float32"), training=True, mask=np.ones((8, 9), bool))
