"""`evenbatch fold`, on files."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

layers = keras.layers


@pytest.fixture
def trained(run):
    """in.keras: a model of two normalizations, of which one can be folded, that has trained for two steps."""
    keras.utils.set_random_seed(0)
    parts = layers.Conv2D(4, 3), layers.BatchNormalization(name="norm"), layers.ReLU()
    last = layers.BatchNormalization(name="stays"), layers.ReLU(), layers.Flatten(), layers.Dense(3)
    model = keras.Sequential([keras.Input((6, 6, 2)), *parts, *last])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    for _ in range(2):
        model.train_on_batch(*batch())
    model.save("in.keras")
    return model


def batch():
    draw = np.random.default_rng(0)
    return draw.normal(size=(16, 6, 6, 2)).astype("float32"), draw.normal(size=(16, 3)).astype("float32")


# What Keras says of any model that was compiled and not trained.
@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer:UserWarning")
def test_fold_writes_the_model_and_says_what_it_did(run, trained):
    code, out, err = run("fold", "in.keras", "out.keras")
    assert (code, err) == (0, "")
    first, kept, *_, last = out.splitlines()
    assert (first, last) == ("1 batch normalization layer folded.", "Model: out.keras")
    assert kept.startswith("stays (BatchNormalization) kept: re_lu")
    new = keras.models.load_model("out.keras")
    np.testing.assert_allclose(new.evaluate(*batch(), verbose=0), trained.evaluate(*batch(), verbose=0), rtol=1e-5)


def test_the_report_is_json_on_request(run, trained):
    _, out, _ = run("fold", "in.keras", "out.keras", "--json")
    assert [(one["path"], one["done"]) for one in json.loads(out)["changes"]] == [("norm", "folded"), ("stays", "kept")]


def make_truncated():
    data = Path("in.keras").read_bytes()
    Path("in.keras").write_bytes(data[: len(data) // 2])


def make_nan():
    model = keras.models.load_model("in.keras")
    model.get_layer("norm").moving_variance.assign(np.full(4, np.nan))
    model.save("in.keras")


REFUSED = {
    "truncated": (make_truncated, "is no .keras file, or it was cut off"),
    "NaN": (make_nan, "norm: its moving statistics or its gamma and beta are not finite"),
    "without": (lambda: keras.Sequential([keras.Input((4,)), layers.Dense(3)]).save("in.keras"), "nothing to fold"),
    "code": (
        lambda: keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x)]).save("in.keras"),
        "pass --unsafe",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_ends_in_one_sentence_and_writes_nothing(run, trained, case):
    make, sentence = REFUSED[case]
    make()
    code, out, err = run("fold", "in.keras", "out.keras")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert sentence in err
    assert [path.name for path in Path.cwd().iterdir()] == ["in.keras"]


def test_a_file_that_exists_is_kept_and_replaced_with_force(run, trained):
    Path("out.keras").write_text("mine")
    code, _, err = run("fold", "in.keras", "out.keras")
    assert (code, err) == (2, "Error: out.keras exists; choose another name, or replace it with --force\n")
    assert Path("out.keras").read_text() == "mine"
    assert run("fold", "in.keras", "out.keras", "--force")[0] == 0


def test_a_directory_that_is_not_there_is_not_made(run, trained):
    code, _, err = run("fold", "in.keras", "gone/out.keras")
    assert (code, err) == (2, "Error: the directory gone does not exist; make it first, or name another one\n")
    assert not Path("gone").exists()
