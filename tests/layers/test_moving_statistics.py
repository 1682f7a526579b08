"""What a batch does to the moving statistics: few values, none, masks, and `debias`."""

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.kernels import reference

# JAX has float64 only where the whole process asks for it.
DTYPES = ["float32", "float16", "bfloat16", *(["float64"] if keras.backend.backend() != "jax" else [])]


def moved(x, *, mask=None, **arguments):
    """Moving mean and variance after one training step from 0.5 and 2."""
    layer = eb.BatchNormalization(momentum=0.5, **arguments)
    layer.build(x.shape)
    layer.moving_mean.assign(np.full(x.shape[layer.axis], 0.5))
    layer.moving_variance.assign(np.full(x.shape[layer.axis], 2.0))
    y = layer(x, training=True, mask=mask)
    assert y.shape == x.shape
    assert not np.isnan(keras.ops.convert_to_numpy(y)).any()
    return [keras.ops.convert_to_numpy(value) for value in (layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("renorm", [False, True])
@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3), (2, 0, 4, 3)])
def test_a_batch_without_values_leaves_both_alone(shape, renorm):
    mean, variance = moved(np.zeros(shape, "float32"), renorm=renorm)
    np.testing.assert_array_equal(mean, 0.5)
    np.testing.assert_array_equal(variance, 2.0)


def test_one_value_per_channel_moves_the_mean_and_leaves_the_variance_alone():
    mean, variance = moved(np.full((1, 3), 4.5, "float32"))
    np.testing.assert_allclose(mean, 2.5)
    np.testing.assert_array_equal(variance, 2.0)


def test_one_value_per_channel_becomes_beta():
    layer = eb.BatchNormalization(beta_initializer=keras.initializers.Constant(0.25))
    y = layer(np.full((1, 3), 4.5, "float32"), training=True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), 0.25)


@pytest.mark.parametrize("renorm", [False, True])
def test_a_batch_that_is_all_masked_leaves_both_alone(renorm):
    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    mean, variance = moved(x, mask=np.zeros((4, 5), bool), renorm=renorm)
    np.testing.assert_array_equal(mean, 0.5)
    np.testing.assert_array_equal(variance, 2.0)


@pytest.mark.parametrize(
    ("shape", "axis"), [((4, 5, 3), -1), ((4, 3, 5), 1), ((4, 5, 1), -1), ((3, 4, 5), 0), ((6, 2), -1)]
)
def test_a_mask_works_with_any_axis_and_any_number_of_channels(shape, axis):
    rng = np.random.default_rng(0)
    x, mask = rng.normal(3, 2, shape).astype("float32"), rng.random(np.delete(shape, axis)) < 0.6
    mean, variance = moved(x, mask=mask, axis=axis)
    batch = reference.masked_moments(x, mask, axis)
    np.testing.assert_allclose(mean, (0.5 + batch.mean) / 2, rtol=1e-5)
    np.testing.assert_allclose(variance, (2 + batch.variance) / 2, rtol=1e-5)


def test_a_mask_that_keras_made_reaches_the_layer():
    inputs = keras.Input((4, 2))
    layer = eb.BatchNormalization(momentum=0.0)
    model = keras.Model(inputs, layer(keras.layers.Masking(0.0)(inputs)))
    x = np.random.default_rng(0).normal(3, 1, (8, 4, 2)).astype("float32")
    x[:, 2:] = 0
    model(x, training=True)
    np.testing.assert_allclose(layer.get_weights()[2], x[:, :2].mean((0, 1)), rtol=1e-5)


def test_a_large_mean_over_a_small_spread_stays_accurate():
    x = (1e4 + np.random.default_rng(0).normal(size=(50_000, 4))).astype("float32")
    layer = eb.BatchNormalization(momentum=0.0)
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    expected, batch = reference.normalize_batch(x, np.ones(4), np.zeros(4), -1, 1e-3)
    np.testing.assert_allclose(y, expected, atol=0.01)
    np.testing.assert_allclose(layer.get_weights()[3], batch.variance, rtol=1e-3)


def test_inference_far_from_zero_is_exact():
    x = (1e6 + np.random.default_rng(0).normal(size=(64, 4))).astype("float32")
    layer = eb.BatchNormalization()
    layer.build(x.shape)
    layer.moving_mean.assign(np.full(4, 1e6))
    expected = reference.normalize(x, np.full(4, 1e6), np.ones(4), np.ones(4), np.zeros(4), -1, 1e-3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x)), expected, atol=1e-5)


def test_frozen_the_layer_runs_in_inference_mode_and_changes_nothing():
    x = np.random.default_rng(0).normal(3, 2, (16, 4)).astype("float32")
    layer = eb.BatchNormalization(trainable=False)
    y = keras.ops.convert_to_numpy(layer(x, training=True))
    np.testing.assert_allclose(y, x / np.sqrt(1.001), rtol=1e-5)
    assert [w.tolist() for w in layer.get_weights()] == [[1] * 4, [0] * 4, [0] * 4, [1] * 4]


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integers_are_cast_as_in_keras(dtype):
    x = (np.arange(24).reshape(8, 3) % 5).astype(dtype)
    ours, theirs = eb.BatchNormalization(), keras.layers.BatchNormalization()
    found, expected = (keras.ops.convert_to_numpy(layer(x, training=True)) for layer in (ours, theirs))
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("settings", [{}, {"debias": True}, {"renorm": True}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_fit_follows_batches_of_an_open_size_in_every_dtype(dtype, settings):
    inputs = keras.Input((4,), dtype=dtype)
    layer = eb.BatchNormalization(momentum=0.5, dtype=dtype, **settings)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(layer(inputs)))
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(3, 1, (24, 4)).astype("float32")
    model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0)
    found = keras.ops.convert_to_numpy(keras.ops.cast(layer.moving_mean, "float32"))
    np.testing.assert_allclose(found, x.mean(0), atol=0.7)


@pytest.mark.parametrize("settings", [{}, {"debias": True}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_batches_are_followed_in_every_dtype(dtype, settings):
    x, mask = np.random.default_rng(0).normal(3, 1, (8, 5, 2)), np.arange(5)[None, :] < np.arange(1, 9)[:, None]
    layer = eb.BatchNormalization(momentum=0.0, dtype=dtype, **settings)
    layer(keras.ops.convert_to_tensor(x, dtype), training=True, mask=mask)
    found = keras.ops.convert_to_numpy(keras.ops.cast(layer.moving_mean, "float32"))
    np.testing.assert_allclose(found, reference.masked_moments(x, mask, -1).mean, rtol=0.01)


def test_a_mask_may_be_a_list():
    layer = eb.BatchNormalization(momentum=0.0)
    layer(np.array([[1.0], [2.0], [9.0]], "float32"), training=True, mask=[True, True, False])
    np.testing.assert_allclose(layer.get_weights()[2], 1.5)


class TestDebias:
    def test_after_each_step_the_statistics_are_the_weighted_mean_of_the_batches(self):
        rng, layer = np.random.default_rng(0), eb.BatchNormalization(momentum=0.9, debias=True)
        batches = [rng.normal(5, 3, (32, 2)).astype("float32") for _ in range(4)]
        for x in batches:
            layer(x, training=True)
        weights = 0.9 ** np.arange(3, -1, -1)
        expected = [np.average([f(x, 0) for x in batches], 0, weights) for f in (np.mean, np.var)]
        np.testing.assert_allclose(layer.get_weights()[2:4], expected, rtol=1e-5)
        np.testing.assert_allclose(layer.get_weights()[4], 1 - 0.9**4, rtol=1e-5)

    def test_one_step_suffices_for_inference(self):
        x = np.random.default_rng(0).normal(5, 3, (64, 2)).astype("float32")
        layer = eb.BatchNormalization(debias=True)
        found, expected = (keras.ops.convert_to_numpy(layer(x, training=training)) for training in (True, False))
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_one_value_per_channel_counts_for_the_mean_alone(self):
        layer = eb.BatchNormalization(momentum=0.9, debias=True)
        layer(np.full((1, 2), 7.0, "float32"), training=True)
        *_, mean, variance, weight = layer.get_weights()
        np.testing.assert_allclose(mean, 7.0)
        np.testing.assert_array_equal(variance, 1.0)
        np.testing.assert_allclose(weight, [0.1, 0.0], rtol=1e-5)

    def test_batches_without_values_count_for_nothing(self):
        layer = eb.BatchNormalization(debias=True)
        layer(np.zeros((0, 2), "float32"), training=True)
        layer(np.ones((4, 2), "float32"), training=True, mask=np.zeros(4, bool))
        assert [w.tolist() for w in layer.get_weights()[2:]] == [[0, 0], [1, 1], [0, 0]]

    def test_a_momentum_of_one_never_moves(self):
        layer = eb.BatchNormalization(momentum=1.0, debias=True)
        layer(np.full((4, 2), 7.0, "float32"), training=True)
        assert [w.tolist() for w in layer.get_weights()[2:]] == [[0, 0], [1, 1], [0, 0]]

    def test_in_the_long_run_it_is_the_plain_moving_average(self):
        rng, layers = np.random.default_rng(0), [eb.BatchNormalization(momentum=0.5, debias=d) for d in (False, True)]
        for _ in range(30):
            x = rng.normal(5, 3, (8, 2)).astype("float32")
            for layer in layers:
                layer(x, training=True)
        np.testing.assert_allclose(layers[0].get_weights()[2:4], layers[1].get_weights()[2:4], rtol=1e-5)

    def test_it_is_in_the_configuration_only_where_it_is_set(self):
        assert "debias" not in eb.BatchNormalization().get_config()
        assert eb.BatchNormalization.from_config(eb.BatchNormalization(debias=True).get_config()).debias is True

    def test_it_trains_in_fit(self):
        model = keras.Sequential([keras.Input((3,)), eb.BatchNormalization(debias=True), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        x = np.random.default_rng(0).normal(5, 3, (64, 3)).astype("float32")
        model.fit(x, x[:, :1], batch_size=16, epochs=1, verbose=0)
        np.testing.assert_allclose(model.layers[0].get_weights()[2], x.mean(0), atol=0.3)
        np.testing.assert_allclose(model.layers[0].get_weights()[4], 1 - 0.99**4, rtol=1e-4)
