"""What the layer keeps on its way through files, clones and configurations, and how it meets Keras' layer there."""

import copy
import json
import pickle

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument

OURS, THEIRS = eb.BatchNormalization, keras.layers.BatchNormalization
X = np.random.default_rng(0).normal(2, 3, (32, 5)).astype("float32")
Y = np.random.default_rng(1).normal(size=(32, 2)).astype("float32")
# What both layers can be told. synchronized is False, because Keras' layer refuses it off TensorFlow.
SETTINGS = {
    "defaults": {},
    "nothing learned": {"center": False, "scale": False},
    "no gamma": {"scale": False},
    "renorm": {"renorm": True, "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}, "renorm_momentum": 0.7},
    "everything else": {
        "axis": 1,
        "momentum": 0.8,
        "epsilon": 1e-4,
        "gamma_initializer": "ones",
        "beta_regularizer": keras.regularizers.L2(0.01),
        "gamma_constraint": keras.constraints.NonNeg(),
        "moving_mean_initializer": keras.initializers.Constant(0.5),
        "dtype": "mixed_bfloat16",
        "trainable": False,
        "name": "mine",
    },
}
shared_settings = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)


def model_of(layer, channels=8, **settings):
    """A network in which the layers have the same names, whichever the layer is."""
    inputs = keras.Input((5,))
    x = keras.layers.Dense(channels, name="dense", kernel_initializer=keras.initializers.GlorotUniform(seed=3))(inputs)
    x = layer(**{"name": "norm", **settings})(x)
    outputs = keras.layers.Dense(2, name="out", kernel_initializer=keras.initializers.GlorotUniform(seed=4))(x)
    return keras.Model(inputs, outputs)


def filled(layer, **settings):
    """One with weights that nobody would guess."""
    model, rng = model_of(layer, **settings), np.random.default_rng(2)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


def carried(source, target, path):
    """The target, after the source's weights have gone through a file."""
    source.save_weights(path / "model.weights.h5")
    target.load_weights(path / "model.weights.h5")
    return target


def built(layer, channels, **settings):
    layer = layer(**settings)
    layer.build((None, channels))
    return layer


def saved(layer):
    """What a file holds of a layer."""
    store = {}
    layer.save_own_variables(store)
    return {name: keras.ops.convert_to_numpy(value) for name, value in store.items()}


def load(layer, store):
    layer.load_own_variables(store)


def assert_same_predictions(found, expected):
    found, expected = (keras.ops.convert_to_numpy(model(X, training=False)) for model in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("settings", [{"debias": True}, {"renorm": True}], ids=str)
def test_a_model_from_a_keras_file_goes_on_training_as_if_it_had_never_been_saved(tmp_path, settings):
    model = model_of(OURS, **settings)
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), keras.losses.MeanSquaredError())
    model.train_on_batch(X, Y)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, again):
        one.train_on_batch(X, Y)
    for found, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_loaded_model_has_this_layer_with_its_arguments(tmp_path, suffix):
    model = filled(OURS, momentum=0.8, debias=True)
    model.save(tmp_path / f"model{suffix}")
    norm = keras.models.load_model(tmp_path / f"model{suffix}").get_layer("norm")
    assert (type(norm), norm.momentum, norm.debias, norm.synchronized) == (OURS, 0.8, True, True)


@shared_settings
@pytest.mark.parametrize(("source", "target"), [(THEIRS, OURS), (OURS, THEIRS)], ids=["from Keras", "to Keras"])
def test_a_weights_file_loads_into_the_same_model_with_the_other_layer(tmp_path, source, target, settings):
    model = filled(source, **settings)
    assert_same_predictions(carried(model, model_of(target, **settings), tmp_path), model)


def test_the_file_of_keras_layer_counts_as_complete_with_debias(tmp_path):
    model = carried(filled(THEIRS), model_of(OURS, debias=True), tmp_path)
    np.testing.assert_array_equal(model.get_layer("norm").moving_weight, [1, 1])


def test_the_file_of_keras_layer_predicts_the_same_with_debias(tmp_path):
    model = filled(THEIRS)
    assert_same_predictions(carried(model, model_of(OURS, debias=True), tmp_path), model)


def test_statistics_loaded_from_keras_layer_move_with_debias_as_they_would_there(tmp_path):
    theirs = filled(THEIRS)
    ours = carried(theirs, model_of(OURS, debias=True), tmp_path)
    for model in (ours, theirs):
        model.get_layer("norm")(X[:, :1] * np.ones(8, "float32"), training=True)
    *found, _ = ours.get_layer("norm").get_weights()
    for one, other in zip(found, theirs.get_layer("norm").get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_a_file_with_debias_loads_into_the_layer_without(tmp_path):
    model = filled(OURS, debias=True)
    assert_same_predictions(carried(model, model_of(OURS), tmp_path), model)


def test_a_file_with_debias_keeps_how_much_of_the_statistics_is_known(tmp_path):
    model = model_of(OURS, debias=True, momentum=0.9)
    for _ in range(3):
        model(X, training=True)
    again = carried(model, model_of(OURS, debias=True), tmp_path)
    np.testing.assert_allclose(again.get_layer("norm").moving_weight, np.full(2, 1 - 0.9**3), rtol=1e-6)


# Keras says of a layer that it refused that its file may be an old one, before it raises.
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
def test_keras_layer_says_that_a_file_with_debias_is_another_layers(tmp_path):
    with pytest.raises(ValueError, match="expected 4 variables, but received 5"):
        carried(filled(OURS, debias=True), model_of(THEIRS), tmp_path)


# Files with as many weights as the layer, one more or one less, but others. Two channels, as `debias` has two numbers.
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ({}, {"center": False}),
        ({"center": False}, {"debias": True}),
        ({"center": False, "debias": True}, {}),
        ({}, {"center": False, "debias": True}),
        ({"renorm": True, "center": False, "scale": False}, {"debias": True}),
    ],
    ids=str,
)
def test_a_file_with_other_weights_is_refused(source, target):
    with pytest.raises(InvalidArgument, match="give it the center, scale and renorm of the layer that was saved"):
        load(built(OURS, 2, **target), saved(built(OURS, 2, **source)))


@pytest.mark.parametrize("debias", [False, True])
def test_a_file_of_another_number_of_channels_is_refused(debias):
    with pytest.raises(ValueError, match="shape"):
        load(built(OURS, 3, debias=debias), saved(built(THEIRS, 4)))


@pytest.mark.parametrize("settings", [{}, {"debias": True, "momentum": 0.8}, {"renorm": True}], ids=str)
def test_a_clone_has_the_same_layer_with_the_same_arguments(settings):
    model = model_of(OURS, **settings)
    clone = keras.models.clone_model(model)
    assert clone.get_layer("norm").get_config() == model.get_layer("norm").get_config()


def test_a_clone_has_weights_of_its_own():
    model = filled(OURS, debias=True)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    clone.get_layer("norm").set_weights([np.zeros_like(w) for w in model.get_layer("norm").get_weights()])
    assert all(np.any(w) for w in model.get_layer("norm").get_weights())


@shared_settings
def test_a_model_of_keras_layers_becomes_one_of_ours_by_cloning(settings):
    def swap(layer):
        kind = OURS if isinstance(layer, THEIRS) else type(layer)
        return kind.from_config(layer.get_config())

    model = filled(THEIRS, **settings)
    clone = keras.models.clone_model(model, clone_function=swap)
    clone.set_weights(model.get_weights())
    assert_same_predictions(clone, model)


@pytest.mark.parametrize(
    "travel", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copied_model_predicts_the_same(travel):
    model = filled(OURS, debias=True)
    assert_same_predictions(travel(model), model)


@shared_settings
def test_a_configuration_that_keras_layer_wrote_says_the_same_here(settings):
    config = THEIRS(**settings).get_config()
    assert OURS.from_config(config).get_config() == config


@shared_settings
def test_a_configuration_without_debias_says_the_same_to_keras_layer(settings):
    config = OURS(**settings, synchronized=False).get_config()
    assert THEIRS.from_config(config).get_config() == config


def test_keras_layer_names_the_argument_that_it_does_not_have():
    with pytest.raises((TypeError, ValueError), match="debias"):
        THEIRS.from_config(OURS(debias=True, synchronized=False).get_config())


@shared_settings
def test_a_configuration_is_json(settings):
    layer = OURS(**settings)
    config = keras.saving.serialize_keras_object(layer)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert keras.saving.serialize_keras_object(again) == config


class WithDense(OURS):
    """A user's subclass that holds another layer."""

    def build(self, input_shape):
        super().build(input_shape)
        self.inner = keras.layers.Dense(2)
        self.inner.build(input_shape)


def test_a_subclass_that_holds_a_layer_saves_its_own_weights_alone():
    assert sorted(saved(built(WithDense, 2))) == ["0", "1", "2", "3"]
