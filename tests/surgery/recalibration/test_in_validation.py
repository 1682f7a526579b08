"""`eb.Recalibrate`: validation sees population statistics, training is not disturbed by a bit."""

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument, UnsupportedModel

layers = keras.layers
X = np.random.default_rng(0).normal(2, 3, (80, 5)).astype("float32")
Y = X[:, :2] * 0.1
VALIDATION = (X[:20], Y[:20])


def network(**compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.3),
            layers.Dense(6, activation="relu"),
            eb.BatchNormalization(name="second"),
            layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01, **compiled.pop("ema", {})), "mse", **compiled)
    return model


def fitted(model, callbacks=(), epochs=2, **options):
    keras.utils.set_random_seed(1)
    return model.fit(X, Y, batch_size=16, epochs=epochs, verbose=0, callbacks=[*callbacks], **options)


def values(model):
    every = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in every]


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def loader():
    if keras.backend.backend() != "torch":
        return X
    import torch

    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X)), batch_size=32, shuffle=True)


SETTINGS = [{}, {"run_eagerly": True}]
SETTINGS += [{"steps_per_execution": 2}] if keras.backend.backend() != "torch" else []  # which Keras refuses there


@pytest.mark.parametrize(("settings", "options"), [*((one, {}) for one in SETTINGS), ({}, {"dropout": True})], ids=str)
def test_training_is_the_same_to_the_bit_with_it_and_without(settings, options):
    found = []
    for callbacks in ([], [eb.Recalibrate(loader(), **options)]):
        model = network(**settings)
        history = fitted(model, callbacks, validation_data=VALIDATION).history
        found.append((values(model), history["loss"], history["val_loss"]))
    (without, loss, val_loss), (with_it, same_loss, other_val_loss) = found
    assert_same(with_it, without)
    assert loss == same_loss
    assert val_loss != other_val_loss


class Noise(layers.Layer):
    """Draws from Keras' global seed, as code does that gives random operations none."""

    def call(self, x, training=None):
        return x + 0.1 * keras.random.normal(keras.ops.shape(x)) if training else x


def test_layers_that_draw_from_the_global_seed_are_not_disturbed():
    found = []
    for callbacks in ([], [eb.Recalibrate(X, dropout=True)]):
        keras.utils.set_random_seed(0)
        parts = [layers.Dense(6), Noise(), layers.BatchNormalization(), layers.Dense(2)]
        model = keras.Sequential([keras.Input((5,)), *parts])
        model.compile("sgd", "mse", run_eagerly=True)
        fitted(model, callbacks, validation_data=VALIDATION)
        found.append(values(model))
    assert_same(*found)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a strategy of TensorFlow")
@pytest.mark.filterwarnings("ignore::UserWarning")  # what TensorFlow says of a strategy of one device
def test_models_that_live_in_a_strategy_are_validated_and_trained_alike():
    import tensorflow as tf

    found = []
    for callbacks in ([], [eb.Recalibrate(X)]):
        with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
            model = network()
        history = fitted(model, callbacks, validation_data=VALIDATION).history
        found.append((values(model), history["val_loss"]))
    assert_same(found[1][0], found[0][0])
    assert found[1][1] != found[0][1]


def test_validation_is_that_of_the_recalibrated_model():
    model = network()
    history = fitted(model, [eb.Recalibrate((X, Y))], epochs=1, validation_data=VALIDATION).history
    expected = eb.recalibrate(model, X, verbose=False)
    assert history["val_loss"][0] == pytest.approx(expected.evaluate(*VALIDATION, verbose=0), rel=1e-5)
    assert history["val_loss"][0] != pytest.approx(model.evaluate(*VALIDATION, verbose=0), rel=1e-3)


def test_every_second_validation_alone():
    losses = {}
    for every in (0, 1, 2):
        callbacks = [eb.Recalibrate(X, every)] if every else []
        losses[every] = fitted(network(), callbacks, epochs=2, validation_data=VALIDATION).history["val_loss"]
    assert losses[2] == [losses[0][0], losses[1][1]]


def test_evaluate_outside_of_fit_is_left_alone():
    model = network()
    fitted(model, epochs=1)
    callback = eb.Recalibrate(X)
    assert model.evaluate(*VALIDATION, verbose=0, callbacks=[callback]) == model.evaluate(*VALIDATION, verbose=0)


def test_behind_averaged_weights_it_sees_the_averages():
    averaged = {"ema": {"use_ema": True, "ema_momentum": 0.8}}
    model = network(**averaged)
    callbacks = [keras.callbacks.SwapEMAWeights(), eb.Recalibrate(X)]
    history = fitted(model, callbacks, epochs=1, validation_data=VALIDATION).history
    # At its end fit puts the averages into the model.
    expected = eb.recalibrate(model, X, verbose=False)
    assert history["val_loss"][0] == pytest.approx(expected.evaluate(*VALIDATION, verbose=0), rel=1e-5)
    without = network(**averaged)
    fitted(without, callbacks[:1], epochs=1, validation_data=VALIDATION)
    assert_same(values(model), values(without))


def test_arguments_that_it_does_not_take():
    for arguments, sentence in [
        ({"every": 0}, "every must be an integer of at least 1, received 0"),
        ({"tolerance": "low"}, "tolerance must be a number above 0"),
        ({"data": iter([X])}, "what can be gone through at every validation, received list_iterator"),
    ]:
        with pytest.raises(InvalidArgument, match=sentence):
            eb.Recalibrate(**{"data": X, **arguments})


def test_a_model_without_normalization_is_said_before_it_trains():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with pytest.raises(UnsupportedModel, match="has no batch normalization"):
        fitted(model, [eb.Recalibrate(X)], validation_data=VALIDATION)
    assert_same(model.get_weights(), before)


def test_a_model_that_its_first_batch_builds_is_taken():
    model = keras.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(2)])
    model.compile("sgd", "mse")
    history = fitted(model, [eb.Recalibrate(X)], epochs=1, validation_data=VALIDATION).history
    expected = eb.recalibrate(model, X, verbose=False)
    assert history["val_loss"][0] == pytest.approx(expected.evaluate(*VALIDATION, verbose=0), rel=1e-5)


@pytest.mark.parametrize("every", [1, 2])
def test_two_of_them_do_not_disturb_the_training_and_the_last_is_seen(every):
    found = {}
    for name, callbacks in (
        ("none", []),
        ("last", [eb.Recalibrate(X[:40])]),
        ("two", [eb.Recalibrate(X, every), eb.Recalibrate(X[:40])]),
    ):
        model = network()
        found[name] = fitted(model, callbacks, validation_data=VALIDATION).history["val_loss"], values(model)
    assert_same(found["two"][1], found["none"][1])
    assert found["two"][0] == found["last"][0] != found["none"][0]


def test_a_second_one_of_fewer_validations_leaves_the_others_to_the_first():
    first = fitted(network(), [eb.Recalibrate(X)], epochs=1, validation_data=VALIDATION).history["val_loss"]
    callbacks = [eb.Recalibrate(X), eb.Recalibrate(X[:40], 2)]
    assert fitted(network(), callbacks, epochs=1, validation_data=VALIDATION).history["val_loss"] == first


class Interrupted(keras.callbacks.Callback):
    """What a user or an error does in the midst of `on`."""

    def __init__(self, on):
        super().__init__()
        setattr(self, on, self.interrupt)

    def interrupt(self, *_, **__):
        raise KeyboardInterrupt


def interrupted(callback):
    model = network()
    with pytest.raises(KeyboardInterrupt):
        fitted(model, [callback, Interrupted("on_test_batch_end")], epochs=1, validation_data=VALIDATION)
    return model


@pytest.mark.parametrize("is_the_same", [True, False])
def test_what_an_interrupted_validation_left_is_put_back_by_the_next_evaluate(is_the_same):
    callback = eb.Recalibrate(X)
    model, without = interrupted(callback), network()
    fitted(without, epochs=1)
    found = model.evaluate(*VALIDATION, verbose=0, callbacks=[callback if is_the_same else eb.Recalibrate(X)])
    assert found == without.evaluate(*VALIDATION, verbose=0)
    assert_same(values(model), values(without))


@pytest.mark.parametrize("is_the_same", [True, False])
def test_what_an_interrupted_validation_left_is_put_back_by_the_next_fit(is_the_same):
    callback = eb.Recalibrate(X)
    model, without = interrupted(callback), network()
    fitted(without, epochs=1)
    for one, callbacks in [(model, [callback if is_the_same else eb.Recalibrate(X)]), (without, [])]:
        fitted(one, callbacks, epochs=1, validation_data=VALIDATION)
    assert_same(values(model), values(without))


def test_what_was_loaded_after_an_interrupted_validation_stays():
    callback = eb.Recalibrate(X)
    model, loaded = interrupted(callback), network().get_weights()
    model.set_weights(loaded)
    model.evaluate(*VALIDATION, verbose=0, callbacks=[callback])
    assert_same(model.get_weights(), loaded)


def test_an_evaluate_within_fit_that_is_given_it_does_not_end_it():
    losses = []
    for is_given in (False, True):
        callback, model = eb.Recalibrate(X), network()

        def evaluate(*_, model=model, given=(callback,) if is_given else ()):
            model.evaluate(*VALIDATION, verbose=0, callbacks=[*given])

        callbacks = [callback, keras.callbacks.LambdaCallback(on_epoch_end=evaluate)]
        losses.append(fitted(model, callbacks, validation_data=VALIDATION).history["val_loss"])
    assert losses[0] == losses[1]


def test_layers_frozen_between_two_trainings_keep_their_statistics():
    model, callback = network(), eb.Recalibrate(X)
    fitted(model, [callback], epochs=1, validation_data=VALIDATION)
    model.get_layer("norm").trainable = False
    model.compile("sgd", "mse")
    history = fitted(model, [callback], epochs=1, validation_data=VALIDATION).history
    expected = eb.recalibrate(model, X, verbose=False)
    assert history["val_loss"][0] == pytest.approx(expected.evaluate(*VALIDATION, verbose=0), rel=1e-5)


@pytest.mark.parametrize("drawn_from", ["of all", "of the loader", "of the sampler"])
def test_a_loader_that_fit_is_given_too_shuffles_as_it_would_without(drawn_from):
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    found = []
    for is_recalibrated in (False, True):
        torch.manual_seed(0)
        own = torch.Generator().manual_seed(0)
        order = {
            "of all": {"shuffle": True},
            "of the loader": {"shuffle": True, "generator": own},
            "of the sampler": {"sampler": torch.utils.data.RandomSampler(data, generator=own)},
        }[drawn_from]
        shared, model = torch.utils.data.DataLoader(data, batch_size=16, **order), network()
        callbacks = [eb.Recalibrate(shared)] if is_recalibrated else []
        keras.utils.set_random_seed(1)
        model.fit(shared, epochs=2, verbose=0, shuffle=False, callbacks=callbacks, validation_data=VALIDATION)
        found.append(values(model))
    assert_same(*found)
