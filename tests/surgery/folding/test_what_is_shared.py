"""Layers that several parts of a model share are folded where that is right for every use of them, and else kept."""

import keras
import pytest
from folds import NORM, filled, fold, norms, refused

import evenbatch as eb

layers = keras.layers


def test_an_encoder_of_two_inputs_is_folded_once():
    one = keras.Input((4,))
    encoder = keras.Model(one, layers.ReLU()(NORM(name="norm")(layers.Dense(6, name="dense")(one))), name="encoder")
    a, b = keras.Input((4,)), keras.Input((4,))
    model = filled(keras.Model([a, b], layers.Concatenate()([encoder(a), encoder(b)])))
    new, report = fold(model)
    assert norms(new) == []
    assert [(one.path, one.into) for one in report.folded()] == [("encoder/norm", ("encoder/dense",))]


def test_two_layers_before_a_shared_normalization_both_take_it_in():
    a, b = keras.Input((4,)), keras.Input((4,))
    norm = NORM()
    ends = [norm(layers.Dense(3, name=name)(x)) for name, x in (("first", a), ("second", b))]
    _, report = fold(filled(keras.Model([a, b], ends)))
    assert report.folded()[0].into == ("first", "second")


def test_a_layer_with_two_normalizations_keeps_both():
    inputs = keras.Input((4,))
    x = layers.Dense(3, name="dense")(inputs)
    model = filled(keras.Model(inputs, [NORM(name="one")(x), NORM(name="other")(x)]))
    assert "dense (Dense), before it, feeds one, too" in refused(model)


def test_a_layer_whose_output_goes_elsewhere_keeps_its_normalization():
    inputs = keras.Input((4,))
    x = layers.Dense(3)(inputs)
    assert "feeds add, too" in refused(filled(keras.Model(inputs, layers.Add(name="add")([x, NORM()(x)]))))


def test_a_layer_whose_output_is_the_models_keeps_its_normalization():
    inputs = keras.Input((4,))
    x = layers.Dense(3)(inputs)
    assert "is an output of the model, too" in refused(filled(keras.Model(inputs, [x, NORM()(x)])))


def test_a_normalization_that_follows_itself_stays():
    inputs, norm = keras.Input((4,)), NORM(name="norm")
    model = filled(keras.Model(inputs, norm(norm(layers.Dense(4)(inputs)))))
    assert "norm (BatchNormalization), before it, is an output of the model, too" in refused(model)


def test_layers_of_different_models_find_each_other():
    one, two = keras.Input((4,)), keras.Input((6,))
    linear = keras.Model(one, layers.Dense(6, name="dense")(one), name="linear")
    curve = keras.Model(two, layers.ReLU()(NORM(name="norm")(two)), name="curve")
    inputs = keras.Input((4,))
    new, report = fold(filled(keras.Model(inputs, curve(linear(inputs)))))
    assert norms(new) == []
    assert [(one.path, one.into) for one in report.folded()] == [("curve/norm", ("linear/dense",))]


@pytest.mark.parametrize("parts", [[NORM()], [keras.Input((6,)), NORM()]])
def test_a_sequential_model_of_nothing_else_becomes_one_of_nothing(parts):
    inputs = keras.Input((4,))
    block = keras.Sequential([type(one).from_config(one.get_config()) if one in parts[-1:] else one for one in parts])
    new, report = fold(filled(keras.Model(inputs, layers.ReLU()(block(layers.Dense(6)(inputs))))))
    assert norms(new) == []
    assert len(report.folded()) == 1


class Caller(layers.Layer):
    def __init__(self, norm, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.norm = layers.Dense(3), norm

    def build(self, shape):
        self.dense.build(shape)
        if not self.norm.built:
            self.norm.build((*shape[:-1], 3))

    def call(self, x, training=None):
        return self.norm(self.dense(x), training=training)

    def get_config(self):
        return {**super().get_config(), "norm": keras.saving.serialize_keras_object(self.norm)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("norm")), **config)


def test_what_is_called_in_code_stays():
    inputs = keras.Input((4,))
    model = filled(keras.Model(inputs, Caller(NORM(name="norm"), name="caller")(inputs)))
    assert refused(model) == "it is called in code, of caller, where no graph tells what comes before it"


def test_what_normalizes_by_its_batch_in_inference_stays():
    inputs = keras.Input((4,))
    inner = keras.Model(inputs, NORM()(layers.Dense(3)(inputs)))
    for outputs in (NORM()(layers.Dense(3)(inputs), training=True), inner(inputs, training=True)):
        assert "training=True" in refused(filled(keras.Model(inputs, outputs)))


def test_what_is_random_in_inference_lets_nothing_through():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, NORM()(layers.Dropout(0.5)(layers.Dense(3)(inputs), training=True)))
    assert "is random in inference, too" in refused(filled(model))


class OfTheUser(NORM):
    pass


REASONS = {
    "a subclass": (lambda x: OfTheUser()(layers.Dense(3)(x)), "it is a subclass, with code of its own"),
    "an activation": (lambda x: NORM()(layers.Dense(3, activation="relu")(x)), "applies relu to what it computes"),
    "another axis": (lambda x: NORM(axis=1)(layers.Conv1D(3, 1)(layers.Reshape((2, 2))(x))), "along axis 2, and not"),
    "another dtype": (lambda x: NORM(dtype="bfloat16")(layers.Dense(3)(x)), "computes in float32, and"),
    "nothing before": (lambda x: NORM()(x), "before it come the model's inputs"),
    "nothing after": (lambda x: NORM()(layers.ReLU()(x)), "after it comes an output of the model"),
    "an operation": (lambda x: NORM()(layers.Dense(3)(x) * 2.0), "(Multiply), before it, is no layer that"),
    "an unknown layer": (lambda x: NORM()(layers.LayerNormalization()(x)), "is no layer that it folds into or moves"),
}


@pytest.mark.parametrize("case", REASONS)
def test_the_report_says_why_it_stays(case):
    make, reason = REASONS[case]
    inputs = keras.Input((4,))
    assert reason in refused(filled(keras.Model(inputs, make(inputs))))


def test_one_gamma_for_each_class_stays():
    inputs, labels = keras.Input((4,)), keras.Input((), dtype="int32")
    norm = eb.ConditionalBatchNormalization(num_classes=3)
    model = filled(keras.Model([inputs, labels], norm([layers.Dense(3)(inputs), labels])))
    with pytest.warns(UserWarning, match="Nothing could be folded"):
        _, report = eb.fold(model, return_report=True)
    assert report.kept()[0].reason == "it has a gamma and a beta for each class"


def test_a_layer_that_is_quantized_already_stays_as_it_is():
    inputs = keras.Input((4,))
    dense = layers.Dense(3)
    model = filled(keras.Model(inputs, NORM()(dense(inputs))))
    dense.quantize("int8")
    with pytest.warns(UserWarning, match="Nothing could be folded"):
        _, report = eb.fold(model, return_report=True)
    assert "is quantized to int8; fold first, then quantize" in report.kept()[0].reason
