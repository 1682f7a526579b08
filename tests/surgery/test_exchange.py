"""`upgrade` and `to_keras`: what they keep, what they exchange, and what they say."""

import keras
import models
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument, UnsupportedModel
from evenbatch.sites import sites

BACKEND = keras.backend.backend()
THEIRS, OURS = keras.layers.BatchNormalization, eb.BatchNormalization
on_tensorflow = pytest.mark.skipif(BACKEND != "tensorflow", reason="Keras accepts synchronized=True there alone")


def norms(model):
    return [site.layer for site in sites(model) if isinstance(site.layer, THEIRS)]


def compiled(model, **how):
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), "mse", **how)
    return model


def assert_close(found, expected, tolerance=2e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * max(1, np.abs(other).max()))


def test_every_layer_is_exchanged_and_the_given_model_left_as_it_was(theirs):
    before = theirs.get_weights()
    new = eb.upgrade(theirs)
    assert {type(layer) for layer in norms(new)} == {OURS}
    assert {type(layer) for layer in norms(theirs)} == {THEIRS}
    assert_close(theirs.get_weights(), before, 0)


def test_weights_and_outputs_are_kept(theirs):
    new, x = eb.upgrade(theirs), models.inputs_of(theirs)
    assert_close(new.get_weights(), theirs.get_weights(), 0)
    assert_close(models.arrays(new(x, training=False)), models.arrays(theirs(x, training=False)))


def test_the_step_in_training_is_the_one_that_the_model_would_have_taken(theirs):
    x = models.inputs_of(theirs)
    y = models.targets_of(theirs, x)
    compiled(theirs)
    theirs.train_on_batch(x, y)
    new = eb.upgrade(theirs)
    found, expected = (model.train_on_batch(x, y) for model in (new, theirs))
    assert_close([np.array(found)], [np.array(expected)])
    assert_close(new.get_weights(), theirs.get_weights())
    assert_close(models.arrays(new.optimizer.variables), models.arrays(theirs.optimizer.variables))


def test_back_and_forth_is_the_identity_in_structure_weights_and_function(theirs):
    back = eb.to_keras(eb.upgrade(theirs, synchronized=False))
    assert keras.saving.serialize_keras_object(back)["config"] == keras.saving.serialize_keras_object(theirs)["config"]
    assert_close(back.get_weights(), theirs.get_weights(), 0)
    x = models.inputs_of(theirs)
    assert_close(models.arrays(back(x, training=False)), models.arrays(theirs(x, training=False)), 0)


def test_forth_and_back_is_the_identity_for_a_model_of_ours(ours):
    again = eb.upgrade(eb.to_keras(ours))
    assert keras.saving.serialize_keras_object(again)["config"] == keras.saving.serialize_keras_object(ours)["config"]
    assert_close(again.get_weights(), ours.get_weights(), 0)


@pytest.mark.parametrize("make", [models.residual, models.wrapped, models.subclassed])
def test_an_upgraded_model_is_saved_and_loaded(make, tmp_path):
    new = eb.upgrade(models.filled(make(THEIRS)))
    new.save(tmp_path / "m.keras")
    again, x = keras.models.load_model(tmp_path / "m.keras"), models.inputs_of(new)
    assert [type(layer) for layer in norms(again)] == [type(layer) for layer in norms(new)]
    assert_close(models.arrays(again(x)), models.arrays(new(x)), 1e-6)


@pytest.mark.parametrize("synchronized", [True, False])
def test_upgrade_gives_every_layer_the_synchronized_that_it_was_told(synchronized):
    model = keras.Sequential([keras.Input((4,)), THEIRS(), OURS(), OURS(synchronized=False, debias=True)])
    assert {layer.synchronized for layer in norms(eb.upgrade(model, synchronized))} == {synchronized}
    assert [layer.debias for layer in norms(eb.upgrade(model, synchronized))[1:]] == [False, True]


@on_tensorflow
@pytest.mark.parametrize(("told", "written"), [(None, [True, False]), (True, [True, True]), (False, [False, False])])
def test_to_keras_writes_the_synchronized_of_the_layer_unless_told_otherwise(told, written):
    model = keras.Sequential([keras.Input((4,)), OURS(), OURS(synchronized=False)])
    assert [layer.synchronized for layer in norms(eb.to_keras(model, told))] == written


@pytest.mark.skipif(BACKEND == "tensorflow", reason="Keras accepts it there")
def test_to_keras_writes_what_keras_accepts_on_the_backend():
    model = keras.Sequential([keras.Input((4,)), OURS()])
    assert norms(eb.to_keras(model))[0].synchronized is False
    with pytest.raises(InvalidArgument, match="accepted by Keras' layer on TensorFlow alone"):
        eb.to_keras(model, synchronized=True)


def test_what_debias_counts_is_left_out_for_keras_and_said():
    model = keras.Sequential([keras.Input((4,)), OURS(debias=True, name="norm")])
    model(np.ones((3, 4), "float32"), training=True)
    new, report = eb.to_keras(model, return_report=True)
    assert_close(new.get_weights(), model.get_weights()[:4], 0)
    assert any("norm (BatchNormalization) exchanged: its count for debias" in line for line in report.sentences())


class Own(THEIRS):
    """Code of a user's."""


class OwnOfOurs(OURS):
    """Code of a user's."""


@pytest.mark.filterwarnings("ignore:There is no batch normalization")
def test_a_subclass_with_code_of_its_own_stays_and_is_said():
    model = keras.Sequential([keras.Input((4,)), Own(name="own")])
    new, report = eb.upgrade(model, return_report=True)
    assert type(norms(new)[0]) is Own
    assert [(one.path, one.done) for one in report.changes] == [("own", "kept")]
    assert "own (Own) kept: it is a subclass of Keras' layer" in report.sentences()[1]


@pytest.mark.parametrize("kind", [OwnOfOurs, eb.GhostBatchNormalization])
def test_a_layer_of_ours_that_keras_does_not_have_is_refused_on_the_way_back(kind):
    model = keras.Sequential([keras.Input((4,)), kind(name="own")])
    with pytest.raises(UnsupportedModel, match=f"own: Keras has no layer that computes what {kind.__name__} does"):
        eb.to_keras(model)


def test_sisters_of_the_layer_are_carried_as_they_are():
    inputs, labels = keras.Input((4,)), keras.Input((), dtype="int32")
    x = eb.ConditionalBatchNormalization(3, name="by_class")([THEIRS(name="norm")(inputs), labels])
    model = models.filled(keras.Model([inputs, labels], eb.GhostBatchNormalization(4, name="ghost")(x)))
    new, report = eb.upgrade(model, return_report=True)
    assert [change.path for change in report.changes] == ["norm"]
    assert new.get_layer("ghost").get_config() == model.get_layer("ghost").get_config()
    assert_close(new.get_weights(), model.get_weights(), 0)


@pytest.mark.parametrize("function", [eb.upgrade, eb.to_keras])
def test_a_model_without_normalization_is_said_and_an_equal_one_returned(function):
    model = models.filled(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    with pytest.warns(UserWarning, match=r"There is no batch normalization of .* to exchange"):
        new = function(model)
    assert new is not model
    assert_close(new.get_weights(), model.get_weights(), 0)


def test_the_report_says_what_was_done():
    _, report = eb.upgrade(models.filled(models.wrapped(THEIRS)), return_report=True)
    assert [change.path for change in report.exchanged()] == ["masked", "time/inner", "head/nested"]
    assert report.sentences()[0] == "3 batch normalization layers exchanged."
    assert report.largest_difference < 1e-5
    assert report.as_json()["changes"][0]["path"] == "masked"


@pytest.mark.parametrize("renorm", [True, {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}])
def test_every_setting_goes_along(renorm):
    settings = {
        "axis": 1,
        "momentum": 0.7,
        "epsilon": 1e-2,
        "center": False,
        "gamma_initializer": keras.initializers.Constant(2.0),
        "gamma_regularizer": keras.regularizers.L2(0.1),
        "gamma_constraint": keras.constraints.NonNeg(),
        "moving_variance_initializer": keras.initializers.Constant(3.0),
        "renorm": True,
        "renorm_momentum": 0.5,
        "renorm_clipping": None if renorm is True else renorm,
        "trainable": False,
        "name": "mine",
        "dtype": "mixed_bfloat16",
        "activity_regularizer": keras.regularizers.L1(0.2),
    }
    model = keras.Sequential([keras.Input((3, 5)), THEIRS(**settings)])
    new, old = norms(eb.upgrade(model, synchronized=False))[0], norms(model)[0]
    assert new.get_config() == old.get_config()
    assert [w.name for w in new.weights] == [w.name for w in old.weights]


@on_tensorflow
def test_a_model_of_a_strategy_is_upgraded_within_it():
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        model = compiled(models.sequential(THEIRS))
    new = eb.upgrade(model)
    assert new.distribute_strategy is strategy
    new.fit(np.ones((4, 6)), np.ones((4, 3)), verbose=0)


def test_a_setting_that_keras_takes_and_ours_does_not_is_named_with_its_place():
    model = keras.Sequential([keras.Input((4,)), THEIRS(momentum=1.5, name="norm")])
    with pytest.raises(UnsupportedModel, match="norm: momentum must be a number from 0 to 1"):
        eb.upgrade(model)
