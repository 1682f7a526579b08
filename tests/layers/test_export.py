"""What `model.export` makes of a model with this layer, format by format, next to what it makes of Keras' layer."""

import warnings

import keras
import numpy as np
import pytest

import evenbatch as eb

OURS, THEIRS = eb.BatchNormalization, keras.layers.BatchNormalization
BACKEND = keras.backend.backend()
SUFFIXES = {"tf_saved_model": "", "onnx": ".onnx", "litert": ".tflite", "torch": ".pt2"}
# What Keras exports with a batch of any size, with the packages that it takes.
EXPORTS = {
    "tensorflow": {"tf_saved_model": [], "onnx": ["tf2onnx", "onnxruntime"], "litert": []},
    "jax": {"tf_saved_model": ["tensorflow"], "onnx": ["jax2onnx", "onnxruntime"]},
    "torch": {"onnx": ["onnx", "onnxruntime"], "torch": []},
}[BACKEND]
# LiteRT from PyTorch takes one size of a batch, and litert_torch; a SavedModel from PyTorch fails in Keras 3.15.
REFUSED = sorted(SUFFIXES.keys() - EXPORTS.keys() - ({"litert"} if BACKEND == "torch" else set()))
SETTINGS = {
    "defaults": {},
    "debias": {"debias": True},
    "channels first": {"axis": 1},
    "nothing learned": {"center": False, "scale": False},
    "renorm": {"renorm": True},
}
pytestmark = [
    # What Keras' own code converts while PyTorch traces it; a line of ours would still be an error.
    pytest.mark.filterwarnings(r"ignore:Converting a tensor to a Python (integer|boolean):Warning:keras\."),
    # TensorFlow announced for 2.20 that its interpreter would go; in 2.21 it is there.
    pytest.mark.filterwarnings(r"ignore:\s+Warning. tf.lite.Interpreter is deprecated:UserWarning"),
]


def model_of(layer, **settings):
    """A small network for images with weights and moving statistics that nobody would guess."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 6, 3), name="images")
    x = layer(name="norm", **settings)(keras.layers.Conv2D(4, 3, name="conv")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))))
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape) for w in model.get_weights()])
    return model


def images(count):
    return np.random.default_rng(count).normal(size=(count, 6, 6, 3)).astype("float32")


def export(model, kind, folder, **settings):
    """The path of the artefact."""
    if kind == "torch":
        import torch

        settings = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), **settings}
    path = str(folder / f"model{SUFFIXES[kind]}")
    model(images(1))
    model.export(path, format=kind, verbose=False, **settings)
    return path


def outputs_of(path, kind, x):
    """What the artefact says, without Keras."""
    return {"tf_saved_model": _saved_model, "onnx": _onnx, "litert": _litert, "torch": _torch}[kind](path, x)


def _saved_model(path, x):
    import tensorflow as tf

    artefact = tf.saved_model.load(path)  # whose variables are gone with it
    return artefact.serve(tf.constant(x)).numpy()


def _onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def _litert(path, x):
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(model_path=path)
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def _torch(path, x):
    import torch

    return torch.export.load(path).module()(torch.tensor(x)).detach().numpy()


def require(kind):
    for package in EXPORTS[kind]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages that are imported for the first time
            pytest.importorskip(package, reason=f"{kind} from {BACKEND} takes {package}")


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_keras_exports_predicts_the_same_for_any_size_of_a_batch(kind, settings, tmp_path):
    require(kind)
    model = model_of(OURS, **settings)
    path = export(model, kind, tmp_path)
    found = np.concatenate([outputs_of(path, kind, images(count)) for count in (2, 5)])
    expected = np.concatenate([model.predict(images(count), verbose=0) for count in (2, 5)])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", EXPORTS)
def test_keras_layer_is_exported_in_the_same_formats(kind, tmp_path):
    require(kind)
    model = model_of(THEIRS)
    found = outputs_of(export(model, kind, tmp_path), kind, images(3))
    np.testing.assert_allclose(found, model.predict(images(3), verbose=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("layer", [OURS, THEIRS], ids=["ours", "Keras"])
def test_what_keras_does_not_export_is_refused_with_either_layer(kind, layer, tmp_path):
    refusal = "requires|structure of `inputs` and `dynamic_shapes`"
    with pytest.raises(Exception, match=refusal):
        export(model_of(layer), kind, tmp_path)


@pytest.mark.skipif(BACKEND != "torch", reason="PyTorch alone takes one size of a batch and another package")
def test_litert_from_torch_predicts_the_same_for_one_size_of_a_batch(tmp_path):
    pytest.importorskip("litert_torch", reason="litert from torch takes litert_torch")
    model = model_of(OURS)
    path = export(model, "litert", tmp_path, input_signature=[keras.InputSpec("float32", (2, 6, 6, 3))])
    np.testing.assert_allclose(outputs_of(path, "litert", images(2)), model.predict(images(2), verbose=0), atol=1e-5)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the choice of kernels is a setting of TensorFlow's converter")
def test_litert_takes_no_kernels_of_tensorflow(tmp_path):
    import tensorflow as tf

    builtin = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    path = export(model_of(OURS), "litert", tmp_path, target_spec=builtin)
    assert outputs_of(path, "litert", images(2)).shape == (2, 2)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras makes no SavedModel of a PyTorch model")
@pytest.mark.parametrize("layer", [OURS, THEIRS], ids=["ours", "Keras"])
def test_an_endpoint_that_trains_is_exported_for_any_size_of_a_batch(layer, tmp_path):
    tf = pytest.importorskip("tensorflow", reason="a SavedModel takes TensorFlow")
    model = model_of(layer)
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [keras.InputSpec("float32", (None, 6, 6, 3))]
    archive.add_endpoint("train", lambda x: model(x, training=True), input_signature=signature)
    archive.write_out(str(tmp_path), verbose=False)
    artefact = tf.saved_model.load(str(tmp_path))
    found = artefact.train(tf.constant(images(5)))
    expected = keras.ops.convert_to_numpy(model(images(5), training=True))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.skipif(BACKEND == "torch", reason="Keras makes no SavedModel of a PyTorch model")
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_a_saved_model_of_mixed_precision_predicts_the_same(policy, tmp_path):
    pytest.importorskip("tensorflow", reason="a SavedModel takes TensorFlow")
    model = model_of(OURS, dtype=policy)
    found = outputs_of(export(model, "tf_saved_model", tmp_path), "tf_saved_model", images(3))
    np.testing.assert_allclose(found, model.predict(images(3), verbose=0), rtol=1e-2)
