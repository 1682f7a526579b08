"""Each bad input ends with one clear sentence and exit code 2, and leaves nothing behind."""

import os

import numpy as np
import pytest

GOOD = {"x_train": np.random.default_rng(0).uniform(size=(40, 8, 8)), "y_train": np.arange(40) % 4}
FILES = {
    "text.npz": b"not an archive",
    "lacks.npz": {"x_train": GOOD["x_train"]},
    "objects.npz": {**GOOD, "y_train": np.array([{}] * 40, dtype=object)},
    "nan.npz": {**GOOD, "x_train": np.full((40, 8, 8), np.nan)},
    "inf.npz": {**GOOD, "x_train": np.full((40, 8, 8), np.inf)},
    "labels.npz": {**GOOD, "y_train": np.arange(39) % 4},
    "one.npz": {**GOOD, "y_train": np.zeros(40, int)},
    "few.npz": {"x_train": GOOD["x_train"][:8], "y_train": np.arange(8) % 2},
}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["compare", "resnet"], "unknown recipe 'resnet'"),
        (["train", "mpl"], "did you mean 'mlp'"),
        (["compare", "--data", "minst"], "did you mean 'mnist'"),
        (["compare", "--data", "nowhere.npz"], "there is no file 'nowhere.npz'"),
        (["compare", "--data", "text.npz"], "is no .npz file"),
        (["compare", "--data", "lacks.npz"], "lacks y_train; it holds x_train"),
        (["compare", "--data", "objects.npz"], "never unpickled"),
        (["compare", "--data", "nan.npz"], "NaN"),
        (["train", "mlp", "--data", "inf.npz"], "infinite"),
        (["compare", "--data", "labels.npz"], "one label for each of the 40 examples"),
        (["compare", "--data", "one.npz"], "at least two classes"),
        (["compare", "--data", "few.npz"], "choose a smaller batch size"),
        (["compare", "--seeds", "0"], "seeds must be at least 1, received 0"),
        (["compare", "--epochs", "0"], "epochs must be an integer of at least 1, received 0"),
        (["compare", "--batch-size", "-3"], "batch_size must be an integer of at least 1, received -3"),
        (["compare", "--learning-rate", "nan"], "learning_rate must be a positive, finite number"),
        (["compare", "--jobs", "0"], "jobs must be an integer of at least 1, received 0"),
        (["compare", "--threads", "0"], "threads must be an integer of at least 1"),
        (["compare", "--initial-scale", "1", "--initial-scale", "1"], "--initial-scale must be given once for each"),
        (["compare", "--initial-scale", "1", "--initial-scale", "1.0000001"], "to six digits"),
        (["compare", "--initial-scale", "-1"], "initial_scale must be a positive"),
        (["compare", "mlp", "--option", "units"], "--option must be KEY=VALUE, received 'units'"),
        (["compare", "mlp", "--option", "units=5", "--option", "units=6"], "--option units is given twice"),
        (["compare", "mlp", "--option", "unit=5"], "did you mean 'units'"),
        (["train", "sigmoid", "--option", "units=5"], "the recipe 'sigmoid' has no options"),
        (["train", "regularized", "--option", "dropout=2"], "dropout must be a number in [0, 1), received 2"),
        (["train", "mlp", "--seed", "-1"], "seeds must be"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(run, tmp_path, words, sentence):
    for name, content in FILES.items():
        if name in words:
            (tmp_path / name).write_bytes(content) if isinstance(content, bytes) else np.savez(
                tmp_path / name, **content
            )
    before = sorted(os.listdir(tmp_path))
    code, out, err = run(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("Error: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == before


def test_a_number_that_is_none_is_refused_by_the_parser(run):
    code, _, err = run("compare", "--seeds", "many")
    assert code == 2
    assert "--seeds" in err


def test_a_directory_in_place_of_which_a_file_lies_is_refused(run, tmp_path):
    (tmp_path / "taken").write_text("mine")
    code, _, err = run("compare", "--out", tmp_path / "taken" / "study")
    assert code == 2
    assert "choose a directory whose parents are directories" in err
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_directory_that_cannot_be_written_is_refused(run, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    if os.geteuid() == 0:  # nothing is closed to root: /proc is the one place where no directory can be made
        code, _, err = run("compare", "--out", "/proc/study")
    else:
        closed.chmod(0o500)
        code, _, err = run("compare", "--out", closed / "study")
    assert code == 2
    assert err.startswith("Error: cannot write")


def test_a_directory_with_files_of_the_users_is_refused_even_with_force(run, tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("mine")
    code, _, err = run("compare", "--force", "--out", tmp_path / "home")
    assert code == 2
    assert "holds files that are no study (thesis.txt)" in err
    assert os.listdir(tmp_path / "home") == ["thesis.txt"]


def test_no_command_shows_the_help(run):
    code, out, _ = run()
    assert "compare" in out
    assert code in (0, 2)
