"""`evenbatch upgrade` and `evenbatch to-keras`, on files."""

import json
import os
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import BrokenPromise

layers = keras.layers


@pytest.fixture
def trained(run):
    """in.keras: a model with Keras' layer that has trained for two steps."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(name="norm")])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    for _ in range(2):
        model.train_on_batch(*batch())
    model.save("in.keras")
    return model


def batch():
    draw = np.random.default_rng(0)
    return draw.normal(size=(16, 4)).astype("float32"), draw.normal(size=(16, 3)).astype("float32")


def test_upgrade_writes_the_model_and_says_what_it_did(run, trained):
    code, out, err = run("upgrade", "in.keras", "out.keras")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "1 batch normalization layer exchanged."
    assert out.splitlines()[-1] == "Model: out.keras"
    layer = keras.models.load_model("out.keras").get_layer("norm")
    assert (type(layer), layer.synchronized) == (eb.BatchNormalization, True)


def test_training_goes_on_where_it_was_after_the_files(run, trained):
    run("upgrade", "in.keras", "out.keras")
    new = keras.models.load_model("out.keras")
    np.testing.assert_allclose(new.train_on_batch(*batch()), trained.train_on_batch(*batch()), rtol=1e-5)
    for one, other in zip(new.optimizer.variables, trained.optimizer.variables, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(one), keras.ops.convert_to_numpy(other), rtol=1e-3, atol=1e-6
        )


def test_back_again_the_file_needs_keras_alone(run, trained):
    run("upgrade", "in.keras", "up.keras")
    assert run("to-keras", "up.keras", "back.keras", "--local")[0] == 0
    back = keras.models.load_model("back.keras")
    assert back.get_config() == keras.models.load_model("in.keras").get_config()
    np.testing.assert_array_equal(back.predict(batch()[0], verbose=0), trained.predict(batch()[0], verbose=0))


def test_statistics_of_each_replica_alone_are_an_option(run, trained):
    run("upgrade", "in.keras", "out.keras", "--local")
    assert keras.models.load_model("out.keras").get_layer("norm").synchronized is False


def test_the_report_is_json_on_request(run, trained):
    _, out, _ = run("upgrade", "in.keras", "out.keras", "--json")
    assert [change["path"] for change in json.loads(out)["changes"]] == ["norm"]


def test_a_model_without_normalization_is_said_and_an_equal_one_written(run):
    keras.Sequential([keras.Input((4,)), layers.Dense(3)]).save("in.keras")
    code, out, err = run("upgrade", "in.keras", "out.keras")
    assert (code, err) == (0, "")
    assert out.startswith("There is no batch normalization of Keras' to exchange in this model: the new one is equal.")
    assert Path("out.keras").exists()


def test_a_file_that_exists_is_kept_and_replaced_with_force(run, trained):
    Path("out.keras").write_text("mine")
    code, out, err = run("upgrade", "in.keras", "out.keras")
    assert (code, out) == (2, "")
    assert err == "Error: out.keras exists; choose another name, or replace it with --force\n"
    assert Path("out.keras").read_text() == "mine"
    assert run("upgrade", "in.keras", "out.keras", "--force")[0] == 0
    assert run("upgrade", "in.keras", "in.keras", "--force")[0] == 0


REFUSED = {
    "missing": (lambda: None, "does not exist"),
    "text": (lambda: Path("in.keras").write_text("hello"), "is no .keras file, or it was cut off"),
    "code": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x)]).save("in.keras"),
        "pass --unsafe",
    ),
    "unknown class": (lambda: keras.Sequential([keras.Input((4,)), Unknown()]).save("in.keras"), "--import"),
}


class Unknown(layers.Layer):
    def call(self, x):
        return x


@pytest.mark.parametrize("command", ["upgrade", "to-keras"])
@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_one_sentence_and_nothing_is_written(run, command, name):
    make, sentence = REFUSED[name]
    make()
    before = os.listdir()
    code, out, err = run(command, "in.keras", "out.keras")
    assert (code, out) == (2, "")
    assert err.startswith("Error: in.keras ")
    assert sentence in err
    assert err.count("\n") == 1
    assert os.listdir() == before


def test_code_in_a_file_is_run_where_the_user_says_so(run):
    model = keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x), layers.BatchNormalization()])
    model.save("in.keras")
    assert run("upgrade", "in.keras", "out.keras", "--unsafe")[0] == 0


def test_a_module_of_the_users_registers_its_classes(run, tmp_path):
    (tmp_path / "my_layers.py").write_text(
        "import keras\n@keras.saving.register_keras_serializable('mine')\n"
        "class Doubled(keras.layers.Layer):\n    def call(self, x):\n        return 2 * x\n"
    )
    sys.path.insert(0, str(tmp_path))
    try:
        import my_layers

        model = keras.Sequential([keras.Input((4,)), my_layers.Doubled(), layers.BatchNormalization()])
        model.save("in.keras")
        del keras.saving.get_custom_objects()["mine>Doubled"], sys.modules["my_layers"]
        assert run("upgrade", "in.keras", "out.keras")[0] == 2
        assert run("upgrade", "in.keras", "out.keras", "--import", "my_layers")[0] == 0
    finally:
        sys.path.remove(str(tmp_path))


def test_a_module_that_is_not_there_is_named(run, trained):
    code, _, err = run("upgrade", "in.keras", "out.keras", "--import", "no_such_module")
    assert code == 2
    assert "--import must name a module that can be imported, received 'no_such_module'" in err


def test_a_promise_that_fails_is_an_error_and_nothing_is_written(run, trained, monkeypatch):
    def broken(*_):
        raise BrokenPromise("an output of the new model differs by 1.0e+00 of its size")

    monkeypatch.setattr("evenbatch.surgery.exchange.check", broken)
    code, out, err = run("upgrade", "in.keras", "out.keras")
    assert (code, out) == (2, "")
    assert "differs by 1.0e+00" in err
    assert os.listdir() == ["in.keras"]


def test_stopping_it_is_one_line(run, trained, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("evenbatch.model_files.read", stopped)
    code, out, err = run("upgrade", "in.keras", "out.keras")
    assert (code, out, err) == (130, "", "Stopped; nothing was written.\n")
