import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.kernels import reference


@pytest.mark.parametrize(
    ("shape", "axis"), [((16, 5), -1), ((4, 6, 6, 3), -1), ((4, 3, 6, 6), 1), ((2, 3, 4, 5, 2), -1)]
)
def test_training_equals_the_paper_in_float64(shape, axis):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, shape).astype("float32")
    layer = eb.BatchNormalization(axis=axis, momentum=0.9, epsilon=1e-3)
    layer.build(shape)
    weights = [rng.uniform(0.5, 1.5, shape[axis]).astype("float32") for _ in range(4)]
    layer.set_weights(weights)
    y, batch = reference.normalize_batch(x, *weights[:2], axis, 1e-3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x, training=True)), y, atol=2e-5)
    np.testing.assert_allclose(layer.get_weights()[2], 0.9 * weights[2] + 0.1 * batch.mean, rtol=1e-5)
    np.testing.assert_allclose(layer.get_weights()[3], 0.9 * weights[3] + 0.1 * batch.variance, rtol=1e-5)


def test_inference_uses_the_moving_statistics():
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    layer = eb.BatchNormalization(epsilon=0.0)
    layer.build(x.shape)
    layer.set_weights([np.array(w, "float32") for w in ([2, 2, 2], [1, 1, 1], [0.5, 0, -0.5], [4, 1, 0.25])])
    expected = 2 * (x - [0.5, 0, -0.5]) / [2, 1, 0.5] + 1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(x, training=False)), expected, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("renorm", [False, True])
def test_equals_keras_layer_with_mask_and_renorm(masked, renorm):
    x = np.random.default_rng(1).normal(2, 3, (6, 5, 4)).astype("float32")
    mask = np.arange(5)[None, :] < np.arange(1, 7)[:, None] if masked else None
    ours, theirs = eb.BatchNormalization(renorm=renorm), keras.layers.BatchNormalization(renorm=renorm)
    found, expected = (layer(x, training=True, mask=mask) for layer in (ours, theirs))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-5)
    for mine, keras_own in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=1e-5)


def test_every_argument_survives_the_configuration():
    settings = {
        "axis": 1,
        "momentum": 0.8,
        "epsilon": 1e-4,
        "center": False,
        "scale": False,
        "synchronized": False,
        "renorm": True,
        "renorm_momentum": 0.7,
        "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0},
        "name": "mine",
    }
    again = eb.BatchNormalization.from_config(eb.BatchNormalization(**settings).get_config())
    assert {name: getattr(again, name) for name in settings} == settings


def test_synchronized_is_the_default_and_survives_the_configuration():
    layer = eb.BatchNormalization()
    assert layer.synchronized is True
    assert eb.BatchNormalization.from_config(layer.get_config()).synchronized is True


def test_one_replica_never_takes_the_one_pass_path_of_synchronized_statistics(monkeypatch):
    asked = []
    moments = keras.ops.moments

    def watched(*args, synchronized=False, **kwargs):
        asked.append(synchronized)
        return moments(*args, synchronized=synchronized, **kwargs)

    monkeypatch.setattr(keras.ops, "moments", watched)
    eb.BatchNormalization(synchronized=True)(np.ones((4, 2), "float32"), training=True)
    assert True not in asked


def test_a_saved_model_loads_and_predicts_the_same(tmp_path):
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), eb.BatchNormalization(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((32, 2)), epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[1]) is eb.BatchNormalization
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_weights_go_both_ways_between_ours_and_keras():
    ours, theirs = eb.BatchNormalization(), keras.layers.BatchNormalization()
    for layer in (ours, theirs):
        layer.build((None, 3))
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]
    values = [np.full(3, i, "float32") for i in range(4)]
    theirs.set_weights(values)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_array_equal(ours.get_weights(), values)
