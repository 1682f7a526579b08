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
    for one, other in zip(with_it, without, strict=True):
        np.testing.assert_array_equal(one, other)
    assert loss == same_loss
    assert val_loss != other_val_loss


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
    for one, other in zip(values(model), values(without), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arguments_that_it_does_not_take():
    for arguments, sentence in [
        ({"every": 0}, "every must be an integer of at least 1, received 0"),
        ({"tolerance": "low"}, "tolerance must be a number above 0"),
        ({"data": iter([X])}, "what can be gone through at every validation, received list_iterator"),
    ]:
        with pytest.raises(InvalidArgument, match=sentence):
            eb.Recalibrate(**{"data": X, **arguments})


def test_a_model_without_normalization_is_said():
    model = keras.Sequential([keras.Input((5,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(UnsupportedModel, match="has no batch normalization"):
        fitted(model, [eb.Recalibrate(X)], validation_data=VALIDATION)
