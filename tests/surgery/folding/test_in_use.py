"""A folded model is a model like any other: it is saved, evaluated, exported and quantized."""

import keras
import numpy as np
import pytest
from folds import NORM, assert_equal_outputs, chain, filled, fold, norms, outputs

import evenbatch as eb
from evenbatch.errors import InvalidArgument, UnsupportedModel

layers = keras.layers
BACKEND = keras.backend.backend()
IMAGE = (6, 5, 4)


@pytest.fixture
def model():
    parts = layers.Conv2D(6, 3, use_bias=False, name="conv"), NORM(name="norm"), layers.ReLU()
    return chain(IMAGE, *parts, layers.GlobalAveragePooling2D(), layers.Dense(3, name="dense"))


def test_it_is_saved_and_read_without_evenbatch(model, tmp_path):
    new, _ = fold(model)
    new.save(tmp_path / "folded.keras")
    again = keras.models.load_model(tmp_path / "folded.keras")
    assert {type(layer).__module__.split(".")[0] for layer in again.layers} == {"keras"}
    assert_equal_outputs(again, new, 0)


def test_it_is_evaluated_as_the_given_one_and_its_optimizer_has_seen_no_step(model):
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(16, *IMAGE)).astype("float32"), draw.normal(size=(16, 3)).astype("float32")
    model.train_on_batch(x, y)
    new, _ = fold(model)
    np.testing.assert_allclose(new.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-4)
    assert (type(new.optimizer), int(new.optimizer.iterations)) == (type(model.optimizer), 0)
    assert np.isfinite(new.train_on_batch(x, y)).all()


def test_regularizers_of_other_weights_are_gone():
    l2 = keras.regularizers.L2(0.1)
    regularized = {"kernel_regularizer": l2, "bias_regularizer": l2, "kernel_constraint": keras.constraints.MaxNorm(1)}
    model = chain(
        (4,), layers.Dense(3, **regularized), NORM(gamma_regularizer=l2), layers.ReLU(), layers.Dense(2, **regularized)
    )
    with pytest.warns(UserWarning, match="Regularizers and constraints of layers that took something in are gone"):
        new, _ = fold(model)
    assert len(new.losses) == 2
    assert new.layers[1].kernel.constraint is None
    assert new.layers[-1].kernel.constraint is not None


def test_regularizers_of_outputs_are_gone_and_said_to_be():
    l2 = keras.regularizers.L2(0.1)
    model = chain((4,), layers.Dense(3, activity_regularizer=l2), NORM(), layers.ReLU())
    with pytest.warns(UserWarning, match="Regularizers and constraints of layers that took something in are gone"):
        new, _ = fold(model)
    assert new.losses == []


def test_where_nothing_is_folded_no_place_is_said_to_have_been_run():
    with pytest.warns(UserWarning, match="Nothing could be folded"):
        _, report = fold(chain((4,), layers.ReLU(), NORM(), layers.ReLU()))
    assert report.largest_at_places is None
    assert not [sentence for sentence in report.sentences() if "Each place" in sentence]


def test_frozen_layers_stay_frozen(model):
    model.get_layer("conv").trainable = False
    new, _ = fold(model)
    assert not new.get_layer("conv").trainable
    assert [weight.path for weight in new.trainable_weights] == ["dense/kernel", "dense/bias"]


@pytest.mark.skipif(BACKEND != "tensorflow", reason="what other backends export is told in tests/layers/test_export.py")
@pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize(("kind", "suffix"), [("tf_saved_model", ""), ("onnx", ".onnx"), ("litert", ".tflite")])
def test_it_is_exported(model, tmp_path, kind, suffix):
    new, _ = fold(model)
    path = str(tmp_path / f"folded{suffix}")
    x = np.random.default_rng(1).normal(size=(1, *IMAGE)).astype("float32")
    new.export(path, format=kind, verbose=False)
    np.testing.assert_allclose(_served(path, kind, x), keras.ops.convert_to_numpy(model(x)), rtol=1e-4, atol=1e-5)


def _served(path, kind, x):
    if kind == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path)
        return session.run(None, {session.get_inputs()[0].name: x})[0]
    import tensorflow as tf

    if kind == "tf_saved_model":
        artefact = tf.saved_model.load(path)  # whose variables are gone with it
        return artefact.serve(tf.constant(x)).numpy()
    runner = tf.lite.Interpreter(path)
    runner.allocate_tensors()
    runner.set_tensor(runner.get_input_details()[0]["index"], x)
    runner.invoke()
    return runner.get_tensor(runner.get_output_details()[0]["index"])


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
def test_it_is_quantized():
    model = chain((8,), layers.Dense(16), NORM(), layers.ReLU(), layers.Dense(3))
    new, _ = fold(model)
    expected = outputs(new)[0]
    new.quantize("int8")
    assert {layer.quantization_mode for layer in new.layers if isinstance(layer, layers.Dense)} == {"int8"}
    assert np.abs(outputs(new)[0] - expected).max() < 0.1 * np.abs(expected).max()


def test_sequential_models_stay_sequential():
    model = filled(keras.Sequential([keras.Input((4,)), layers.Dense(3), NORM(), layers.ReLU()]))
    new, _ = fold(model)
    assert [type(layer) for layer in new.layers] == [layers.Dense, layers.ReLU]
    assert type(new) is keras.Sequential


def broken(**values):
    model = chain((4,), layers.Dense(3), NORM(name="norm"))
    for name, value in values.items():
        getattr(model.get_layer("norm"), name).assign([value, 1.0, 1.0])
    return model


REFUSED = {
    "no model": (lambda: 7, InvalidArgument, "model must be a Keras model, received int"),
    "not built": (lambda: keras.Sequential([layers.Dense(3), NORM()]), UnsupportedModel, "is not built"),
    "nothing to fold": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
        UnsupportedModel,
        "has no batch normalization, so that there is nothing to fold; use it as it is",
    ),
    "NaN statistics": (
        lambda: broken(moving_mean=np.nan),
        UnsupportedModel,
        "norm: its moving statistics or its gamma",
    ),
    "NaN variance": (
        lambda: broken(moving_variance=np.nan),
        UnsupportedModel,
        "norm: its moving statistics or its gamma",
    ),
    "negative variance": (lambda: broken(moving_variance=-1.0), UnsupportedModel, "its smallest value is -0.999"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_folded_is_said(case):
    make, error, sentence = REFUSED[case]
    with pytest.raises(error, match=sentence):
        eb.fold(make())


def test_a_lambda_and_a_layer_of_the_users_are_left_as_they_are():
    x = inputs = keras.Input((4,))
    for part in (layers.Dense(3), NORM(), layers.Lambda(lambda x: 2 * x), Doubled(), layers.Dense(2), NORM()):
        x = part(x)
    new, report = fold(filled(keras.Model(inputs, x)))
    assert norms(new) == []
    assert len(report.folded()) == 2


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


def test_the_report_is_told_in_sentences(model):
    _, report = fold(model)
    first, *_, places, outputs = report.sentences()
    assert first == "1 batch normalization layer folded."
    assert places.startswith("Each place was run by itself, before and after; values differ by ")
    assert outputs.startswith("Structure, weights and outputs were compared; ")
