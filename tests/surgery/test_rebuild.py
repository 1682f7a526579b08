"""A model made again: everything that is to be carried, and every model that cannot be."""

import keras
import models
import numpy as np
import pytest

import evenbatch as eb
from evenbatch import graph
from evenbatch.errors import InvalidArgument, UnsupportedModel
from evenbatch.sites import sites
from evenbatch.surgery.rebuild import rebuild

layers = keras.layers


def again(model, replace=lambda layer: None):
    return rebuild(model, replace).model


def test_a_model_made_again_has_the_configuration_and_the_weights(theirs):
    new = again(theirs)
    assert keras.saving.serialize_keras_object(new)["config"] == keras.saving.serialize_keras_object(theirs)["config"]
    for one, other in zip(new.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_shared_with_the_given_model(theirs):
    new = again(theirs)
    assert not {id(v) for v in new.variables} & {id(v) for v in theirs.variables}
    assert not {id(site.layer) for site in sites(new)} & {id(site.layer) for site in sites(theirs)}


def test_the_order_of_weights_and_layers_is_kept(theirs):
    new = again(theirs)
    assert [v.name for v in new.weights] == [v.name for v in theirs.weights]
    assert [layer.name for layer in new.layers] == [layer.name for layer in theirs.layers]


def test_the_graph_of_the_given_model_gets_no_new_calls():
    model = models.shared(layers.BatchNormalization)
    calls = {site.path: len(site.layer._inbound_nodes) for site in sites(model)}
    again(model)
    assert {site.path: len(site.layer._inbound_nodes) for site in sites(model)} == calls


def test_what_is_shared_stays_shared_across_models():
    new = again(models.shared(layers.BatchNormalization))
    encoder, other = new.get_layer("encoder"), new.get_layer("other")
    assert encoder.get_layer("bn") is other.get_layer("bn") is new.get_layer("bn")
    assert encoder.get_layer("coder") is new.get_layer("coder")


def test_a_layer_shared_by_two_blocks_stays_shared():
    inputs, dense = keras.Input((4,)), layers.Dense(4, name="both")
    x = models.Block(dense, layers.BatchNormalization(), name="one")(inputs)
    model = keras.Model(inputs, models.Block(dense, layers.BatchNormalization(), name="two")(x))
    new = again(model)
    assert new.get_layer("one").dense is new.get_layer("two").dense


def test_layers_are_replaced_in_lists_dicts_and_attributes():
    model = models.subclassed(layers.BatchNormalization)
    new = eb.upgrade(model)
    assert type(new.block.norm) is type(new.block.more["list"][0]) is eb.BatchNormalization
    assert type(new.encoder.get_layer("coded")) is eb.BatchNormalization
    assert [layer.name for layer in graph.held_layers(new.block)] == [
        layer.name for layer in graph.held_layers(model.block)
    ]


@pytest.mark.parametrize("frozen", ["layer", "model", "variable", "inner model"])
def test_trainable_flags_are_kept(frozen):
    model = models.shared(layers.BatchNormalization)
    if frozen == "layer":
        model.get_layer("coder").trainable = False
    elif frozen == "model":
        model.trainable = False
    elif frozen == "variable":
        model.get_layer("coder").kernel.trainable = False
    else:
        model.get_layer("other").trainable = False
        model.get_layer("other").get_layer("own").trainable = True
    new = again(model)
    assert [v.path for v in new.trainable_variables] == [v.path for v in model.trainable_variables]
    assert [site.layer.trainable for site in sites(new) if isinstance(site.layer, layers.Layer)] == [
        site.layer.trainable for site in sites(model) if isinstance(site.layer, layers.Layer)
    ]


def test_seed_states_are_carried_so_that_the_next_dropout_is_the_same():
    model = keras.Sequential([keras.Input((200,)), layers.Dropout(0.5, seed=3)])
    x = np.ones((2, 200), "float32")
    model(x, training=True)
    new = again(model)
    found, expected = (models.arrays(one(x, training=True))[0] for one in (new, model))
    np.testing.assert_array_equal(found, expected)


def test_dtype_policies_are_kept():
    model = models.mixed_precision(layers.BatchNormalization)
    assert [site.layer.dtype_policy.name for site in sites(again(model))[1:]] == [
        site.layer.dtype_policy.name for site in sites(model)[1:]
    ]


def test_an_adapted_layer_keeps_what_it_learned_of_the_data():
    data = np.random.default_rng(0).normal(3, 2, (64, 4)).astype("float32")
    normalization = layers.Normalization()
    normalization.adapt(data)
    model = keras.Sequential([keras.Input((4,)), normalization, layers.BatchNormalization()])
    np.testing.assert_array_equal(models.arrays(again(model)(data))[0], models.arrays(model(data))[0])


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow looks strings up in a graph")
def test_a_vocabulary_is_carried():
    lookup = layers.StringLookup(output_mode="one_hot")
    lookup.adapt(["cat", "dog", "emu"])
    inputs = keras.Input((1,), dtype="string")
    model = keras.Model(inputs, layers.BatchNormalization()(lookup(inputs)))
    x = keras.ops.convert_to_tensor(np.array([["dog"], ["emu"]]))
    np.testing.assert_array_equal(models.arrays(again(model)(x))[0], models.arrays(model(x))[0])


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_a_quantized_layer_stays_quantized():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.BatchNormalization()])
    model.quantize("int8")
    new, x = again(model), np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    assert new.layers[0].dtype_policy.name == "int8_from_float32"
    np.testing.assert_array_equal(models.arrays(new(x))[0], models.arrays(model(x))[0])


def test_low_rank_adapters_are_carried():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4), layers.BatchNormalization()])
    model.layers[0].enable_lora(2)
    models.filled(model)
    new, x = again(model), np.random.default_rng(0).normal(size=(4, 8)).astype("float32")
    assert [v.path for v in new.trainable_variables] == [v.path for v in model.trainable_variables]
    np.testing.assert_array_equal(models.arrays(new(x))[0], models.arrays(model(x))[0])


class MakesItsOwn(layers.Layer):
    """Makes its normalization in its constructor, out of numbers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense, self.norm = layers.Dense(units), layers.BatchNormalization()

    def call(self, x, training=None):
        return self.norm(self.dense(x), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def test_what_a_class_makes_in_its_constructor_is_exchanged_and_said_not_to_come_back_from_a_file():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, MakesItsOwn(3, name="block")(inputs))
    with pytest.warns(UserWarning, match="makes its normalization in its own constructor"):
        new, report = eb.upgrade(model, return_report=True)
    assert type(new.get_layer("block").norm) is eb.BatchNormalization
    assert new.get_layer("block").dense.name == model.get_layer("block").dense.name
    assert "block: MakesItsOwn makes its normalization in its own constructor" in report.notes[0]


class MakesInBuild(layers.Layer):
    def build(self, shape):
        self.norm = layers.BatchNormalization()
        self.norm.build(shape)

    def call(self, x):
        return self.norm(x)


class Forgets(layers.Layer):
    def __init__(self, units, norm, **kwargs):
        super().__init__(**kwargs)
        self.units, self.norm = units, norm

    def call(self, x):
        return self.norm(x)


class HidesInClosure(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        norm = layers.BatchNormalization()
        self._tracker.track(norm)
        self.function = lambda x: norm(x)

    def call(self, x):
        return self.function(x)


class GraphInConstructor(keras.Model):
    def __init__(self, units=3, **kwargs):
        inputs = keras.Input((4,))
        super().__init__(inputs, layers.BatchNormalization()(layers.Dense(units)(inputs)), **kwargs)


class NeverCalled(keras.Model):
    def __init__(self):
        super().__init__()
        self.norm = layers.BatchNormalization()

    def call(self, x):
        return self.norm(x)


def around(layer):
    inputs = keras.Input((4,))
    return keras.Model(inputs, layer(inputs))


REFUSED = {
    "in build": (lambda: around(MakesInBuild(name="b")), "b: MakesInBuild makes layers in its build"),
    "no configuration": (
        lambda: around(Forgets(4, layers.BatchNormalization(), name="f")),
        r"f: Forgets cannot be made again from its configuration .*; give the class a get_config\(\)",
    ),
    "in a closure": (
        lambda: around(HidesInClosure(name="h")),
        "h/batch_normalization.*: HidesInClosure keeps this layer where no attribute of it leads to; keep it as self",
    ),
    "graph in the constructor": (
        GraphInConstructor,
        r"GraphInConstructor makes its graph in its own constructor.*pass keras.Model\(model.input, model.output\)",
    ),
    "unbuilt": (
        lambda: keras.Sequential([layers.Dense(2)]),
        "is not built, so it has no weights yet; call it on a batch",
    ),
    "never called": (NeverCalled, "is not built, so it has no weights yet"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore:.build.. was called on layer")
def test_what_cannot_be_made_again_is_refused_with_what_would_make_it_work(name):
    make, message = REFUSED[name]
    with pytest.raises(UnsupportedModel, match=message) as caught:
        eb.upgrade(make())
    assert "\n" not in str(caught.value)


def test_the_way_out_that_a_refusal_names_works():
    model = models.filled(GraphInConstructor())
    new = eb.upgrade(keras.Model(model.input, model.output))
    x = np.ones((2, 4), "float32")
    np.testing.assert_allclose(models.arrays(new(x))[0], models.arrays(model(x))[0], rtol=1e-5)


def test_a_class_with_its_graph_in_its_constructor_is_made_again_where_nothing_is_exchanged():
    inner, inputs = models.filled(GraphInConstructor()), keras.Input((4,))
    new = again(keras.Model(inputs, layers.Dense(2)(inner(inputs))))
    assert type(new.layers[1]) is GraphInConstructor
    np.testing.assert_array_equal(new.layers[1].get_weights()[0], inner.get_weights()[0])


def test_what_is_no_model_is_refused():
    with pytest.raises(InvalidArgument, match="model must be a Keras model, received str"):
        eb.upgrade("model.keras")


class Adversarial(keras.Model):
    """Two networks and no call: each is built, the whole is not."""

    def __init__(self, generator, discriminator, **kwargs):
        super().__init__(**kwargs)
        self.generator, self.discriminator = generator, discriminator

    def get_config(self):
        parts = {"generator": self.generator, "discriminator": self.discriminator}
        return {**super().get_config(), **{k: keras.saving.serialize_keras_object(v) for k, v in parts.items()}}

    @classmethod
    def from_config(cls, config):
        parts = {k: keras.saving.deserialize_keras_object(config.pop(k)) for k in ("generator", "discriminator")}
        return cls(**parts, **config)


def test_a_model_that_only_trains_others_is_upgraded_though_it_is_never_called():
    pair = Adversarial(models.sequential(layers.BatchNormalization), models.residual(layers.BatchNormalization))
    new, report = eb.upgrade(pair, return_report=True)
    assert len(report.exchanged()) == 4
    assert report.largest_difference is None
    assert "the outputs were not" in report.sentences()[-1]
    for one, other in zip(new.get_weights(), pair.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
