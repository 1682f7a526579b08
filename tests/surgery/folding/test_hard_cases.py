"""Models in which a fold could go wrong unseen: masks, far means, models within models, names, code of the user's."""

import keras
import numpy as np
import pytest
from folds import NORM, assert_equal_outputs, chain, filled, fold, norms, outputs, refused

import evenbatch as eb
from evenbatch.errors import UnsupportedModel
from evenbatch.surgery.precision import full_precision

layers = keras.layers
BACKEND = keras.backend.backend()


def of_words(*parts):
    """A model of sequences of word numbers, in which 0 is masked."""
    x = inputs = keras.Input((6,), dtype="int32")
    for part in (layers.Embedding(9, 4, mask_zero=True), *parts):
        x = part(x)
    return filled(keras.Model(inputs, x))


def folded_words(model):
    new, report = eb.fold(model, return_report=True)
    x = np.random.default_rng(0).integers(0, 9, (5, 6))
    np.testing.assert_allclose(*(keras.ops.convert_to_numpy(one(x)) for one in (new, model)), rtol=1e-4, atol=1e-5)
    return report


def test_a_mask_that_passes_by_does_not_matter():
    model = of_words(layers.Dense(5, name="dense"), NORM(), layers.LSTM(3))
    assert folded_words(model).folded()[0].into == ("dense",)


def test_a_mask_passes_by_on_the_way_down_too():
    model = of_words(layers.Dense(5, activation="relu"), NORM(), layers.Dense(3, name="last"), layers.LSTM(2))
    assert folded_words(model).folded()[0].into == ("last",)


def test_a_mean_over_a_mask_lets_nothing_through():
    model = of_words(layers.Dense(5), layers.GlobalAveragePooling1D(), NORM())
    with pytest.warns(UserWarning, match="Nothing could be folded"):
        assert "is called with a mask" in folded_words(model).kept()[0].reason


def far(mean, norm, *, before):
    """One normalization of inputs that are that many deviations away from 0, behind a layer or before one."""
    linear = layers.Conv2D(6, 1, name="conv")
    model = chain((4, 4, 6), *((linear, norm) if before else (norm, linear)))
    norm.set_weights([np.ones(6), np.zeros(6), np.full(6, mean), np.ones(6)])
    if before:
        linear.bias.assign(np.full(6, mean))
    return model


@pytest.mark.parametrize("norm", [NORM, eb.BatchNormalization])
@pytest.mark.parametrize("mean", [1e2, 1e4, 1e6])
def test_behind_a_layer_a_far_mean_is_folded_and_is_more_exact_then(mean, norm):
    model = far(mean, norm(), before=True)
    new, _ = eb.fold(model, return_report=True)
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 6)).astype("float32")
    kernel, _ = (np.asarray(w, np.float64) for w in model.get_layer("conv").get_weights())
    true = x.astype("float64") @ kernel[0, 0] / np.sqrt(1 + norm().epsilon)
    assert np.abs(keras.ops.convert_to_numpy(new(x)) - true).max() < 1e-5 * np.abs(true).max()


@pytest.mark.parametrize("mean", [1e1, 1e2])
def test_before_a_layer_a_mean_that_is_not_far_is_folded(mean):
    model = far(mean, NORM(), before=False)
    new, _ = eb.fold(model, return_report=True)
    assert norms(new) == []
    x = (mean + np.random.default_rng(0).normal(size=(8, 4, 4, 6))).astype("float32")
    kernel, bias = (np.asarray(w, np.float64) for w in model.get_layer("conv").get_weights())
    true = (x.astype("float64") - mean) / np.sqrt(1 + NORM().epsilon) @ kernel[0, 0] + bias
    assert np.abs(keras.ops.convert_to_numpy(new(x)) - true).max() < 1e-4 * np.abs(true).max()


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_before_a_layer_a_far_mean_is_subtracted_first(mean):
    assert f"a mean {mean:.0e} deviations away from 0" in refused(far(mean, eb.BatchNormalization(), before=False))


def test_inputs_by_name_are_told_apart():
    a, z = keras.Input((5,), name="a"), keras.Input((5,), name="z")
    inner = keras.Model([z, a], layers.Concatenate()([layers.ReLU()(NORM(name="norm")(a)), z]), name="inner")
    i, j = keras.Input((4,)), keras.Input((4,))
    ends = inner({"a": layers.Dense(5, name="for_a")(i), "z": layers.Dense(5, name="for_z")(j)})
    _, report = fold(filled(keras.Model([i, j], ends)))
    assert report.folded()[0].into == ("for_a",)


@pytest.mark.filterwarnings("ignore:Nothing could be folded:UserWarning")
def test_a_model_within_that_casts_its_inputs_lets_nothing_through():
    one, inputs = keras.Input((5,), dtype="int32"), keras.Input((4,))
    inner = keras.Model(one, layers.ReLU()(layers.Dense(3)(layers.Rescaling(1.0)(one))))
    model = filled(keras.Model(inputs, inner(NORM()(layers.ReLU()(layers.Dense(5)(inputs))))))
    _, report = eb.fold(model, return_report=True)
    assert "(InputLayer), after it, is no layer that it folds into" in report.kept()[0].reason


def curved(x):
    return keras.ops.tanh(x) * 1.5


def of_the_user(shape, dtype=None):
    return keras.ops.ones(shape, dtype)


@pytest.mark.parametrize("settings", [{"activation": curved}, {"kernel_initializer": of_the_user}])
def test_functions_that_nobody_registered_stay_with_their_layer(settings):
    new, _ = fold(chain((4,), layers.ReLU(), NORM(), layers.Dense(3, **settings)))
    assert norms(new) == []


def test_outputs_keep_their_names_in_files_too(tmp_path):
    inputs = keras.Input((4,))
    ends = [NORM(name="first")(layers.Dense(3)(inputs)), layers.Dense(2, name="second")(inputs)]
    model = filled(keras.Model(inputs, ends))
    model.compile("sgd", loss={"first": "mse", "second": "mae"})
    new, _ = fold(model)
    new.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    x, y = np.ones((2, 4)), {"first": np.ones((2, 3)), "second": np.ones((2, 2))}
    assert (norms(new), again.output_names) == ([], ["first", "second"])
    np.testing.assert_allclose(again.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-4)


def test_lists_that_hold_what_is_gone_hold_the_rest():
    inputs = keras.Input((4,))
    dense, norm = layers.Dense(3, name="dense"), NORM()
    model = filled(keras.Model(inputs, norm(dense(inputs))))
    model.blocks, model.by_name, model.norm = [dense, norm], {"dense": dense, "norm": norm}, norm
    new, _ = fold(model)
    assert [layer.name for layer in new.blocks] == ["dense"]
    assert [*new.by_name] == ["dense"]


@keras.saving.register_keras_serializable("folding")
class OfBlocks(keras.Model):
    """Calls Sequential models in its own code, as tutorials do."""

    def __init__(self, blocks=None, **kwargs):
        super().__init__(**kwargs)
        self.blocks = blocks or [
            keras.Sequential([layers.Conv2D(4, 3, use_bias=False), NORM(), layers.ReLU()]) for _ in range(2)
        ]
        self.norm = NORM(name="alone")

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x, training=training)
        return self.norm(x, training=training)

    def get_config(self):
        return {**super().get_config(), "blocks": [keras.saving.serialize_keras_object(one) for one in self.blocks]}

    @classmethod
    def from_config(cls, config):
        return cls([keras.saving.deserialize_keras_object(one) for one in config.pop("blocks")], **config)


def test_models_that_code_calls_are_folded_within():
    model = OfBlocks()
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    model(x)
    filled(model)
    new, report = eb.fold(model, return_report=True)
    assert (len(report.folded()), [one.path.split("/")[-1] for one in report.kept()]) == (2, ["alone"])
    expected = keras.ops.convert_to_numpy(model(x))
    assert np.abs(keras.ops.convert_to_numpy(new(x)) - expected).max() < 1e-4 * np.abs(expected).max()


@keras.saving.register_keras_serializable("folding")
class MadeInside(keras.Model):
    def __init__(self, **kwargs):
        inputs = keras.Input((3,))
        super().__init__(inputs, NORM(name="inside")(layers.Dense(3)(inputs)), **kwargs)


def test_a_model_that_makes_its_own_graph_keeps_what_is_in_it():
    inputs = keras.Input((4,))
    x = layers.ReLU()(NORM(name="outside")(layers.Dense(3)(inputs)))
    _, report = fold(filled(keras.Model(inputs, MadeInside(name="own")(x))))
    assert [one.path for one in report.folded()] == ["outside"]
    assert "makes its graph in its own constructor" in report.kept()[0].reason
    with pytest.raises(UnsupportedModel, match=r"pass keras.Model\(model.input, model.output\)"):
        eb.fold(filled(MadeInside()))


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 as it is set up here")
def test_what_stands_for_an_empty_model_computes_in_its_dtype():
    inputs = keras.Input((4,), dtype="float64")
    block = keras.Sequential([NORM(dtype="float64", name="norm")])
    new, _ = fold(filled(keras.Model(inputs, block(layers.Dense(3, dtype="float64")(inputs)))))
    assert outputs(new)[0].dtype == "float64"


def test_branches_that_meet_again_are_climbed_once():
    x = layers.Dense(3)(inputs := keras.Input((4,)))
    for _ in range(30):
        x = layers.Average()([x, x])
    new, _ = fold(filled(keras.Model(inputs, NORM()(x))))
    assert norms(new) == []


@pytest.mark.parametrize("operation", ["__add__", "__sub__"])
def test_operators_are_what_the_layers_are(operation):
    inputs = keras.Input((4,))
    a, b = layers.Dense(3, name="a")(inputs), layers.Dense(3, name="b")(inputs)
    _, report = fold(filled(keras.Model(inputs, NORM()(getattr(a, operation)(b)))))
    assert set(report.folded()[0].into) == {"a", "b"}


def test_a_constant_that_is_added_stops_it():
    inputs = keras.Input((4,))
    assert "adds what is no layer's output" in refused(
        filled(keras.Model(inputs, NORM()(layers.Dense(3)(inputs) + 1.0)))
    )


def test_code_on_the_object_itself_is_refused():
    model = chain((4,), layers.Dense(3), norm := NORM())
    vars(norm)["call"] = lambda x, **_: 2 * x
    with pytest.raises(UnsupportedModel, match="was replaced on the object itself"):
        eb.fold(model)


def test_what_is_compared_is_computed_in_full_precision_which_ends_with_it():
    def reduced():
        if BACKEND == "tensorflow":
            import tensorflow as tf

            return tf.config.experimental.tensor_float_32_execution_enabled()
        if BACKEND == "jax":
            import jax

            return jax.config.jax_default_matmul_precision != "highest"
        import torch

        return torch.backends.cudnn.allow_tf32

    before = reduced()
    with full_precision():
        assert not reduced()
    assert reduced() == before


def test_open_sizes_fold():
    x = inputs = keras.Input((None, None, 3))
    for part in (layers.Conv2D(4, 5), NORM(), layers.ReLU(), layers.Conv2D(4, 3, strides=2), NORM()):
        x = part(x)
    model = filled(keras.Model(inputs, x))
    new, report = eb.fold(model, return_report=True)
    assert len(report.folded()) == 2
    images = np.random.default_rng(0).normal(size=(1, 17, 23, 3)).astype("float32")
    a, b = (keras.ops.convert_to_numpy(one(images)) for one in (new, model))
    np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def test_folded_and_upgraded_in_any_order():
    model = chain((6, 6, 3), layers.Conv2D(4, 3), NORM(), layers.ReLU(), layers.Conv2D(4, 3), layers.ReLU(), NORM())
    assert_equal_outputs(eb.fold(eb.upgrade(model)), model)
    assert_equal_outputs(eb.to_keras(eb.upgrade(eb.fold(model))), model)
