"""A new model that is not what was promised is an error, whatever is wrong with it."""

import keras
import models
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import BrokenPromise
from evenbatch.surgery import exchange, promise, rebuild
from evenbatch.surgery.probe import probe_inputs

layers = keras.layers
THEIRS = layers.BatchNormalization


def deep():
    """A net whose output hardly depends on its first layers."""
    inputs = keras.Input((8,))
    x = inputs
    for i in range(6):
        x = THEIRS(name=f"norm_{i}")(layers.Dense(8, use_bias=False)(x))
    return keras.Model(inputs, 1e-6 * layers.Dense(2)(x) + 1.0)


def plant(monkeypatch, fault):
    """Lets `upgrade` make one layer with a fault in it."""
    like = exchange._like

    def faulty(kind, layer, **more):
        new = like(kind, layer, **more)
        return fault(new) or new if layer.name == "norm_1" else new

    monkeypatch.setattr(exchange, "_like", faulty)


FAULTS = {
    "epsilon": lambda new: setattr(new, "epsilon", 0.5),
    "no scale": lambda new: setattr(new, "scale", False),
}


@pytest.mark.parametrize("fault", ["epsilon", "no scale"])
def test_a_layer_that_computes_something_else_is_found_where_the_outputs_hide_it(monkeypatch, fault):
    model = models.filled(deep())
    plant(monkeypatch, FAULTS[fault])
    with pytest.raises(BrokenPromise, match="norm_1: the new layer computes something else; it was not handed out"):
        eb.upgrade(model)


def test_a_weight_that_was_not_carried_is_found(monkeypatch):
    def forgetful(*arguments):
        found = rebuild_carry(*arguments)
        found[0][1].assign(2 * found[0][1])
        return found

    rebuild_carry = rebuild.carry_values
    monkeypatch.setattr(rebuild, "carry_values", forgetful)
    with pytest.raises(BrokenPromise, match=r"another value of .*dense.*/kernel"):
        eb.upgrade(models.sequential(THEIRS))


def test_another_structure_is_found():
    model = models.sequential(THEIRS)
    other = keras.Sequential([*model.layers, layers.ReLU()])
    with pytest.raises(BrokenPromise, match="another structure"):
        promise.check(model, other, [], [])


def test_other_outputs_are_found():
    def model(factor):
        return keras.Sequential([keras.Input((3,), name="in"), layers.Rescaling(factor, name="rescaled")])

    with pytest.raises(BrokenPromise, match=r"an output of the new model differs by 1.0e\+00 of its size"):
        promise.check(model(1.0), model(2.0), [], [])


def test_outputs_that_are_no_numbers_in_the_same_places_are_equal():
    def model():
        return keras.Sequential([keras.Input((3,), name="in"), layers.Rescaling(float("nan"), name="nothing")])

    assert promise.check(model(), model(), [], []) == (0.0, None)


@pytest.mark.parametrize("size", [(None, None, 3), (40, None, 3)])
def test_an_open_size_is_tried_until_one_fits(size):
    inputs = keras.Input(size)
    model = keras.Model(inputs, layers.Conv2D(2, 20)(THEIRS()(inputs)))
    found, outputs = probe_inputs(model)
    assert found.shape[2] == 32
    assert outputs.shape[0] == 1


def test_a_model_that_takes_no_made_up_inputs_is_not_compared_at_its_outputs():
    class Picky(layers.Layer):
        def call(self, x):
            if x.shape[1] not in (None, 7):
                raise ValueError("seven")
            return x

        def compute_output_spec(self, x):
            return keras.KerasTensor(x.shape)

    inputs = keras.Input((None,))
    assert probe_inputs(keras.Model(inputs, Picky()(inputs))) == (None, None)


def test_the_check_moves_no_state_of_either_model(theirs):
    def state(model):
        return [keras.ops.convert_to_numpy(v.value) for v in model.variables]

    before = state(theirs)
    new = eb.upgrade(theirs)
    for one, other, third in zip(before, state(theirs), state(new), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, third)


def chaotic():
    """A net of which any rounding changes the outputs altogether."""
    inputs, draw = keras.Input((32,)), np.random.default_rng(0)
    x = inputs
    for i in range(80):
        x = layers.Dense(32, "tanh", kernel_initializer=keras.initializers.RandomNormal(0, 0.8, seed=i))(x)
        x = THEIRS(name=f"norm_{i}")(x)
    model = keras.Model(inputs, x)
    for i in range(80):
        model.get_layer(f"norm_{i}").set_weights([draw.uniform(0.5, 1.5, 32) for _ in range(4)])
    return model


def test_a_net_that_any_rounding_changes_is_not_taken_for_another_one():
    model = chaotic()
    report = eb.upgrade(model, return_report=True)[1]
    assert report.rounding > 1e-4
    assert "and rounding each weight once moves them by" in report.sentences()[-1]


def test_a_fault_in_such_a_net_is_found_at_the_layer(monkeypatch):
    plant(monkeypatch, FAULTS["epsilon"])
    with pytest.raises(BrokenPromise, match="norm_1: the new layer computes something else"):
        eb.upgrade(chaotic())


def test_one_channel_among_larger_ones_is_compared_by_itself(monkeypatch):
    model = keras.Sequential([keras.Input((2,)), THEIRS(name="norm_1", epsilon=1e-8)])
    model.layers[0].set_weights([np.array(w, "float32") for w in ([1, 1e8], [0, 0], [0, 0], [1e-8, 1])])
    plant(monkeypatch, FAULTS["epsilon"])
    with pytest.raises(BrokenPromise, match="norm_1"):
        eb.upgrade(model)
