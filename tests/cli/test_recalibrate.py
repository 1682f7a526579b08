"""`evenbatch recalibrate`, on files."""

import functools
import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.surgery.recalibration import model as library
from evenbatch.surgery.recalibration.options import Options

layers = keras.layers


@pytest.fixture
def recalibrate(run):
    """Runs `evenbatch recalibrate`."""
    return functools.partial(run, "recalibrate")


def examples():
    return np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")


@pytest.fixture
def model(run):
    """in.keras: a model that has never met data, and x.npy."""
    model = keras.Sequential([keras.Input((4,)), layers.BatchNormalization(name="norm"), layers.Dense(2)])
    model.save("in.keras")
    np.save("x.npy", examples())
    return model


def test_it_writes_the_model_and_says_what_it_did(recalibrate, model):
    code, out, err = recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw", "--batch-size", 7)
    assert (code, err) == (0, "")
    assert out.startswith("1 batch normalization layer recalibrated on 50 examples in 8 batches; 1 stage.\n")
    assert out.endswith("Model: out.keras\n")
    layer = keras.models.load_model("out.keras").get_layer("norm")
    np.testing.assert_allclose(layer.moving_mean, examples().mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, examples().var(axis=0), rtol=1e-5)


def test_a_data_set_is_fed_as_recipes_are(recalibrate, small_file):
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.BatchNormalization(), layers.Flatten(), layers.Dense(2)])
    model.save("in.keras")
    code, out, _ = recalibrate("in.keras", "out.keras", "--data", small_file, "--json")
    assert code == 0
    assert json.loads(out)["examples"] == 72  # a fifth of 90 is for validation


def test_an_input_each_by_its_name(recalibrate):
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    keras.Model([a, b], layers.BatchNormalization(name="norm")(layers.Add()([a, b]))).save("in.keras")
    np.savez("x.npz", a=examples(), b=examples())
    assert recalibrate("in.keras", "out.keras", "--data", "x.npz", "--raw")[0] == 0
    found = keras.models.load_model("out.keras").get_layer("norm").moving_mean
    np.testing.assert_allclose(found, 2 * examples().mean(axis=0), rtol=1e-5)
    code, _, err = recalibrate("in.keras", "other.keras", "--data", "x.npz")
    assert (code, err.startswith("Error: --raw is needed for a model of several inputs")) == (2, True)


def test_options_are_passed_on(recalibrate, model, monkeypatch):
    words = ("--max-batches", 3, "--batch-size", 5, "--one-pass", "--dropout", "--frozen", "--tolerance", 0.1)
    given = []

    def recalibrated(model, data, options, watch):
        given.append(options)
        return right(model, data, options, watch)

    right = library.recalibrated
    monkeypatch.setattr(library, "recalibrated", recalibrated)
    code, out, _ = recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw", *words)
    assert code == 0
    assert "on 15 examples in 3 batches" in out
    assert given == [Options(5, 3, one_pass=True, dropout=True, frozen=True, tolerance=0.1)]


@pytest.fixture
def with_code(recalibrate):
    """code.keras, which holds a Lambda layer, and own.keras, which holds a class of a module of its own."""
    norm = layers.BatchNormalization
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: 2 * x), norm()]).save("code.keras")
    Path("own_layers.py").write_text(OWN)
    sys.path.insert(0, str(Path.cwd()))
    import own_layers

    keras.Sequential([keras.Input((4,)), own_layers.Doubled(), norm()]).save("own.keras")
    keras.saving.get_custom_objects().pop("own>Doubled")
    del sys.modules["own_layers"]
    np.save("x.npy", examples())
    yield
    sys.path.remove(str(Path.cwd()))
    sys.modules.pop("own_layers", None)
    keras.saving.get_custom_objects().pop("own>Doubled", None)


OWN = """
import keras


@keras.saving.register_keras_serializable("own")
class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


@pytest.mark.parametrize(("name", "option"), [("code", ["--unsafe"]), ("own", ["--import", "own_layers"])])
@pytest.mark.parametrize("command", ["fold", "recalibrate"])
@pytest.mark.filterwarnings("ignore:Nothing could be folded:UserWarning")
def test_code_is_loaded_where_it_is_asked_for(run, with_code, command, name, option):
    data = ["--data", "x.npy", "--raw"] if command == "recalibrate" else []
    code, _, err = run(command, f"{name}.keras", "out.keras", *data)
    assert (code, option[0] in err, Path("out.keras").exists()) == (2, True, False)
    assert run(command, f"{name}.keras", "out.keras", *data, *option)[0] == 0


def test_a_file_that_exists_is_kept_and_replaced_with_force(recalibrate, model):
    Path("out.keras").write_text("mine")
    code, out, err = recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw")
    assert (code, out, err) == (2, "", "Error: out.keras exists; choose another name, or replace it with --force\n")
    assert Path("out.keras").read_text() == "mine"
    assert recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw", "--force")[0] == 0


REFUSED = {
    "no data": (lambda: Path("x.npy").unlink(), "there is no file 'x.npy'"),
    "data that were cut off": (lambda: Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:200]), "it was cut off"),
    "data of another shape": (lambda: np.save("x.npy", np.ones((3, 5))), "batches of the shape (batch, 4)"),
    "no examples": (lambda: np.save("x.npy", np.ones((0, 4))), "at least one example"),
    "data with NaN": (
        lambda: np.save("x.npy", np.full((3, 4), np.nan)),
        "norm: the inputs of this layer are",
    ),
    "a model that was cut off": (lambda: Path("in.keras").write_bytes(Path("in.keras").read_bytes()[:500]), "cut off"),
    "a model without normalization": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]).save("in.keras"),
        "has no batch normalization",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_sentence_and_nothing_is_written(recalibrate, model, name):
    make, sentence = REFUSED[name]
    make()
    before = sorted(os.listdir())
    code, out, err = recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert sentence in err
    assert sorted(os.listdir()) == before


def test_the_file_is_what_the_library_gives(recalibrate, model):
    recalibrate("in.keras", "out.keras", "--data", "x.npy", "--raw")
    expected = eb.recalibrate(model, examples(), verbose=False).get_weights()
    for one, other in zip(keras.models.load_model("out.keras").get_weights(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
