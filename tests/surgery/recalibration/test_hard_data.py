"""Data with which statistics could go wrong unseen: shuffled anew, refilled, without an end, with targets."""

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidData
from evenbatch.surgery.recalibration import batches

layers = keras.layers
X = np.random.default_rng(0).normal(1, 2, (96, 4)).astype("float32")


def statistics(model, name):
    layer = model.get_layer(name)
    return [keras.ops.convert_to_numpy(one) for one in (layer.moving_mean, layer.moving_variance)]


def test_batches_that_are_shuffled_anew_are_not_mixed_where_they_are_too_many_to_keep(monkeypatch):
    class Shuffled:
        def __init__(self):
            self.draw = np.random.default_rng(0)

        def __iter__(self):
            order = self.draw.permutation(96)
            return iter([(X[order[i : i + 32]], X[order[i : i + 32]]) for i in range(0, 96, 32)])

    a, b = keras.Input((4,)), keras.Input((4,))
    before = layers.BatchNormalization(name="before")(layers.Dense(4, kernel_initializer="identity")(a))
    model = keras.Model([a, b], layers.BatchNormalization(name="after")(layers.Subtract()([before, b])))
    expected = statistics(eb.recalibrate(model, (X, X), verbose=False), "after")
    monkeypatch.setattr(batches, "KEPT", 2 * 32 * 4 * 4 * 2 + 100)  # two of the three
    for one, other in zip(statistics(eb.recalibrate(model, Shuffled(), verbose=False), "after"), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def chain():
    parts = [layers.BatchNormalization(name="first"), layers.Dense(4), layers.BatchNormalization(name="second")]
    return keras.Sequential([keras.Input((4,)), *parts])


def test_a_loader_may_fill_its_array_again():
    class Refilled:
        def __iter__(self):
            kept = keras.ops.convert_to_tensor(np.zeros((16, 4), "float32"))
            for i in range(0, 96, 16):
                if keras.backend.backend() == "torch":
                    kept.copy_(kept.new_tensor(X[i : i + 16]))
                else:
                    kept = keras.ops.convert_to_tensor(X[i : i + 16])
                yield kept

    model = chain()
    expected = statistics(eb.recalibrate(model, X, verbose=False), "second")
    for one, other in zip(
        statistics(eb.recalibrate(model, Refilled(), verbose=False), "second"), expected, strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_list_of_inputs_before_targets_is_what_fit_takes():
    model = chain()
    expected = statistics(eb.recalibrate(model, X, verbose=False), "first")
    found = statistics(eb.recalibrate(model, ([X], 5 * X + 10), verbose=False), "first")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    a, b = keras.Input((4,)), keras.Input((4,))
    two = keras.Model([a, b], layers.BatchNormalization(name="norm")(layers.Add()([a, b])))
    mean, _ = statistics(eb.recalibrate(two, ([X, X], X[:, 0]), verbose=False), "norm")
    np.testing.assert_allclose(mean, 2 * X.mean(0), rtol=1e-5)


def test_inputs_in_dicts_of_dicts():
    a, b, c = (keras.Input((4,), name=name) for name in "pbk")
    norm = layers.BatchNormalization(name="norm")
    model = keras.Model({"q": {"p": a, "b": b}, "k": c}, norm(layers.Subtract()([a, layers.Add()([b, c])])))
    mean, _ = statistics(eb.recalibrate(model, {"q": {"p": X, "b": 2 * X}, "k": 3 * X}, verbose=False), "norm")
    np.testing.assert_allclose(mean, -4 * X.mean(0), rtol=1e-5)


def test_data_that_do_not_tell_their_length_must_come_to_an_end(monkeypatch):
    class Endless:
        def __iter__(self):
            while True:
                yield X[:8]

    monkeypatch.setattr(batches, "MOST", 50)
    with pytest.raises(InvalidData, match=r"has given 50 batches without one; pass max_batches="):
        eb.recalibrate(chain(), Endless(), verbose=False)
    assert eb.recalibrate(chain(), Endless(), max_batches=60, verbose=False)


def test_numbers_of_numpy_are_numbers():
    assert eb.recalibrate(chain(), X, batch_size=np.int64(8), tolerance=np.float32(0.5), verbose=False)


@keras.saving.register_keras_serializable("recalibration")
class Again(layers.Layer):
    """Applies its normalization twice, in its own code."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = layers.BatchNormalization(name="norm")

    def build(self, shape):
        self.norm.build(shape)

    def call(self, x, training=None):
        return self.norm(2 * self.norm(x, training=training), training=training)


def test_code_that_calls_a_normalization_again_is_told_of():
    inputs = keras.Input((4,))
    _, report = eb.recalibrate(keras.Model(inputs, Again()(inputs)), X, verbose=False, return_report=True)
    assert "it is called several times in code" in report.layers[0].reason
