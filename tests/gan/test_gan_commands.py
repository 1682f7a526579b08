"""`evenbatch train gan`, `compare gan` and `sample`: what they do, and how bad input ends."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from made_up import SETTINGS, arrays
from PIL import Image
from tiny import networks

import evenbatch as eb
from evenbatch import files
from evenbatch.recipes.gan import gan as recipe

OPTIONS = [word for name, value in SETTINGS.items() for word in ("--option", f"{name}={value}")]
SMALL = ["--batch-size", "16", "--epochs", "2", *OPTIONS]


@pytest.fixture
def saved(tmp_path):
    """A small generator in a file, with statistics that have moved."""
    generator = recipe((28, 28, 1), 3, width=2, noise=5).generator
    generator(np.random.default_rng(0).standard_normal((64, 5)).astype("float32"), training=True)
    generator.save(tmp_path / "generator.keras")
    return tmp_path / "generator.keras"


def evenbatch(*words, cwd):
    """The command in a process of its own, as training makes settings of the backend for the whole process."""
    command = [sys.executable, "-m", "evenbatch", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.slow
def test_train_gan_leaves_everything_that_it_promises(images_file, cache, tmp_path):
    words = ["train", "gan", "--data", images_file, *SMALL, "--out", "run"]
    code, out, err = evenbatch(*words, cwd=tmp_path)
    assert code == 0, err
    folder = tmp_path / "run"
    names = {"study.json", "trial.json", "history.csv", "summary.json", "generator.keras", "discriminator.keras"}
    assert names | {"grids", "learning-curve.png", "learning-curve.svg"} == {path.name for path in folder.iterdir()}
    assert "discriminator's loss" in err
    assert "generator's" in err
    assert "Fréchet distance at epoch 2" in out
    assert "judge" in out
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["yardstick"]["floor"]["frechet"] < summary["yardstick"]["ceiling"]["frechet"]
    rows = files.read_csv(folder / "history.csv")
    assert summary["last"] == rows[-1]
    # A second time: nothing is trained, and the same is said.
    before = (folder / "trial.json").stat().st_mtime_ns
    code, again, _ = evenbatch(*words, cwd=tmp_path)
    assert (code, again) == (0, out)
    assert (folder / "trial.json").stat().st_mtime_ns == before
    # And another architecture is refused there.
    code, _, err = evenbatch(*words, "--option", "form=tutorial", cwd=tmp_path)
    assert code == 2
    assert "run holds another study" in err
    assert "form" in err


@pytest.mark.slow
def test_a_training_that_diverges_says_so_and_ends_with_1(images_file, cache, tmp_path):
    words = ["train", "gan", "--data", images_file, *SMALL, "--learning-rate", "1e38", "--out", "run"]
    code, out, err = evenbatch(*words, cwd=tmp_path)
    assert code == 1, err
    assert out == "diverged after 1 epoch.\nNothing was measured before it diverged.\n"
    assert (tmp_path / "run" / "learning-curve.png").exists()


@pytest.mark.slow
def test_compare_gan_ends_with_a_report_of_distances_and_pictures(run, images_file, cache, tmp_path):
    words = ["--seeds", "1", "--arm", "batch", "--arm", "none", "--learning-rate", "0.001", "--out", "study"]
    code, out, err = run("compare", "gan", "--data", images_file, *SMALL, *words)
    assert code == 0, err
    assert "Fréchet distance" in out
    page = (tmp_path / "study" / "report.html").read_text()
    assert page.count("data:image/png;base64") >= 2
    summary = json.loads((tmp_path / "study" / "summary.json").read_text())
    assert [(pair["arm"], pair["baseline"]) for pair in summary["pairs"]] == [("batch", "none")]
    assert summary["floor"]["frechet"] < summary["ceiling"]["frechet"]


@pytest.mark.slow
def test_a_study_goes_on_where_an_arm_diverges(images_file, cache, tmp_path):
    arms = {"batch": "batch", "own": keras.layers.LayerNormalization, "wild": eb.Arm("none", learning_rate=1e20)}
    settings = {"epochs": 2, "batch_size": 16, "options": SETTINGS, "out": tmp_path / "study"}
    study = eb.compare("gan", data=images_file, arms=arms, pairs=[("batch", "wild")], seeds=1, **settings)
    summary = study.summary()
    assert {name: arm["diverged"] for name, arm in summary["arms"].items()} == {"batch": 0, "own": 0, "wild": 1}
    assert summary["pairs"][0]["final_frechet"]["n"] == 0
    assert "diverged" in study.report().read_text()


def test_sample_draws_what_was_asked_for(run, saved, tmp_path):
    code, out, err = run("sample", saved, "--count", 9, "--out", "grid.png", "--statistics", "recalibrated")
    assert code == 0, err
    assert out == "9 images by recalibrated statistics: grid.png\n"
    side = 3 * 28 + 2 * 2
    assert pixels(tmp_path / "grid.png").shape == (4 * side, 4 * side)


@pytest.mark.parametrize(("statistics", "same"), [("moving", True), ("recalibrated", True), ("batch", False)])
def test_an_image_of_a_sample_depends_on_the_others_by_batch_statistics_alone(run, saved, tmp_path, statistics, same):
    for count in (1, 16):
        run("sample", saved, "--count", count, "--seed", 3, "--out", f"{count}.png", "--statistics", statistics)
    alone, among = pixels(tmp_path / "1.png"), pixels(tmp_path / "16.png")
    alone = alone[:: len(alone) // 28, :: len(alone) // 28][:28, :28]
    factor = len(among) // (4 * 28 + 6)
    among = among[::factor, ::factor][:28, :28]
    assert (np.abs(alone.astype(int) - among).max() <= 1) == same


def test_a_conditional_generator_draws_one_class_or_all(run, tmp_path):
    recipe((28, 28, 1), 3, "conditional", width=2, noise=5).generator.save(tmp_path / "generator.keras")
    assert run("sample", "generator.keras", "--label", 2, "--out", "a.png")[0] == 0
    assert run("sample", "generator.keras", "--statistics", "recalibrated", "--out", "b.png")[0] == 0
    code, _, err = run("sample", "generator.keras", "--label", 3, "--out", "c.png")
    assert (code, err) == (2, "Error: label must be a class from 0 to 2, received 3\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--out", "grid.jpg"], "the output must be a file that ends in .png, received 'grid.jpg'"),
        (["--out", "no/grid.png"], "the directory no does not exist; make it first"),
        (["--out", "there.png"], "there.png exists; choose another name, or replace it with --force"),
        (["--out", "a.png", "--statistics", "running"], "unknown statistics 'running', allowed: moving, batch"),
        (["--out", "a.png", "--count", "0"], "count must be an integer of at least 1, received 0"),
        (["--out", "a.png", "--batch-size", "0"], "batch_size must be an integer of at least 1, received 0"),
        (["--out", "a.png", "--seed", "-1"], "seed must be an integer of at least 0, received -1"),
        (["--out", "a.png", "--label", "1"], "label must be left out, since the generator takes no labels"),
    ],
)
def test_bad_input_of_sample_ends_in_a_sentence(run, saved, tmp_path, words, sentence):
    (tmp_path / "there.png").write_bytes(b"mine")
    code, _, err = run("sample", saved, *words)
    assert code == 2
    assert err.startswith(f"Error: {sentence}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generator.keras", "there.png"]


def test_a_model_that_is_no_generator_is_refused(run, tmp_path):
    networks()[1].save(tmp_path / "discriminator.keras")
    code, _, err = run("sample", "discriminator.keras", "--out", "a.png")
    assert code == 2
    assert "the generator must take noise, of shape (n, size)" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train", "gan"], "the recipe 'gan' needs images of 28×28 or 32×32 pixels, received 8×8×1"),
        (["train", "mlp", "--preset", "quick"], "the recipe 'mlp' has no presets"),
        (["train", "gan", "--preset", "quick", "--normalization", "layer"], "unknown normalization 'layer'"),
        (["train", "mlp", "--normalization", "batch"], "normalize must be True, False or a function"),
        (["train", "gan", "--preset", "quick", "--batch-size", "2000"], "batch_size must be at most the number"),
        (["train", "gan", "--preset", "quick", "--option", "step=both"], "unknown step 'both'"),
        (["compare", "gan", "--arm", "bach"], "unknown --arm 'bach'"),
        (["compare", "gan", "--arm", "batch", "--arm", "batch"], "--arm must be given once for each arm"),
        (["compare", "gan", "--initial-scale", "2"], "--initial-scale is not for the recipe 'gan'"),
        (["compare", "mlp", "--arm", "batch"], "--arm is for the recipe 'gan'"),
    ],
)
def test_bad_input_of_training_ends_in_a_sentence(run, tmp_path, words, sentence):
    code, _, err = run(*words)
    assert code == 2
    assert err.startswith(f"Error: {sentence}"), err
    assert not list(tmp_path.iterdir())


def test_a_file_without_labels_is_named(run, tmp_path):
    np.savez(tmp_path / "images.npz", x_train=arrays()["x_train"])
    code, _, err = run("train", "gan", "--data", "images.npz", *SMALL)
    assert code == 2
    assert "images.npz lacks y_train" in err
