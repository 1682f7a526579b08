"""The command `bench`: each bad input is one sentence before anything is measured; what it prints and writes."""

import json
import os
import subprocess
import sys

import keras
import pytest

from evenbatch import cli
from evenbatch.bench import run as measuring

ARMS = {"median": 0.001, "low": 0.0009, "high": 0.0012}
RATIO = {"median": 2.5, "low": 2.25, "high": 2.75}
ARM_BYTES = {"median": 3 * 2**20, "low": 3 * 2**20, "high": 3 * 2**20}
RESULT = {
    "backend": "tensorflow",
    "versions": {"keras": "3.15.1"},
    "device": {"kind": "cpu", "name": "A [fast] processor", "threads": 2},
    "copy_bytes_per_second": 30e9,
    "dtype": "float32",
    "rounds": 9,
    "passes": {"training": 8, "inference": 2},
    "layers": [
        {
            "shape": [64, 56, 56, 64],
            "mode": "graph",
            "phase": phase,
            "seconds": {"ours": ARMS, "keras": ARMS, "native": ARMS},
            "keras_over_ours": RATIO,
            "ours_over_native": RATIO,
            "over_floor": {"ours": 1.25, "keras": 10.0, "native": 1.0} if phase == "training" else None,
        }
        for phase in ("training", "inference")
    ],
    "models": [
        {
            "model": "mobilenet_v2",
            "batch_size": 32,
            "mode": "graph",
            "phase": "training",
            "seconds": {"ours": ARMS, "keras": ARMS},
            "keras_over_ours": RATIO,
            "over_floor": None,
        }
    ],
    "memory": {
        "stack": {"batch": 32, "size": 64, "filters": 32, "depth": 6},
        "arms": {
            "ours": {"bytes": {"median": 2**20, "low": 2**20, "high": 2**21}},
            "keras": {"bytes": {"median": 2**21, "low": 2**20, "high": 2**21}},
            "without": {"bytes": None},
        },
        "errors": {"without": "out of memory"},
    },
    "memory_of_files": [
        {
            "model": "my [own] model",
            "batch_size": 8,
            "arms": {"ours": {"bytes": ARM_BYTES}, "keras": {"bytes": ARM_BYTES}},
            "errors": {},
        }
    ],
}


@pytest.fixture
def bench(monkeypatch, capsys, tmp_path):
    """Runs the command in an empty directory, measuring nothing; returns exit code, both outputs, and what was run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    plans = []
    monkeypatch.setattr(measuring, "run", lambda plan, watcher: plans.append(plan) or RESULT)

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["evenbatch", "bench", *map(str, words)])
        code = cli._run()
        return code, *capsys.readouterr(), plans

    return command


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--shape", "64*56"], "--shape must be two or more positive integers joined by x"),
        (["--shape", "64"], "received '64'"),
        (["--shape", "64x0"], "received '64x0'"),
        (["--shape", "1x8"], "two or more values for each channel"),
        (["--dtype", "float64"], "allowed: float32, bfloat16, float16"),
        (["--mode", "fast"], "unknown mode of"),
        (["--model", "resnet18"], "unknown model for --model 'resnet18'"),
        (["--only", "speed"], "allowed: layers, models, memory"),
        (
            ["--model", "gone.keras"],
            "a recipe, mobilenet_v2 or a .keras file, and gone.keras is no file",
        ),
        (["--model", "taken", "--batch-size", "4"], "unknown model for --model 'taken'"),
        (["--batch-size", "4"], "--batch-size is for models in files; add --model FILE.keras, or leave it out"),
        (["--unsafe"], "--unsafe is for models in files"),
        (["--import", "os"], "--import is for models in files"),
        (["--rounds", "0"], "--rounds must be an integer of at least 1, received 0"),
        (["--json", "taken/result.json"], "--json: cannot write taken/result.json"),
        (["--json", "."], "--json must be a file or - for standard output, received '.', a directory"),
    ],
)
def test_bad_input_is_one_sentence_before_anything_is_measured(bench, tmp_path, words, sentence):
    (tmp_path / "taken").write_text("mine")
    code, out, err, plans = bench(*words)
    assert (code, out, plans) == (2, "", [])
    assert err.startswith("Error: ")
    assert sentence in err
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["taken"]


def test_the_tables_say_what_was_found(bench):
    code, out, _, _ = bench()
    assert code == 0
    assert "A [fast] processor (CPU), 2 threads, copies 30 GB/s" in out
    assert "2.50 (2.25–2.75)" in out
    assert "1.2/10.0/1.0" in out
    assert "Memory of without was not measured: out of memory" in out
    assert "Peak memory of loading my [own] model and a training step, batch 8" in out
    assert "…" not in out


def test_in_a_narrow_terminal_spreads_go_and_no_digit_does(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _, _ = bench()
    assert "2.50" in out
    assert "2.25" not in out
    assert max(map(len, out.splitlines()[3:])) <= 80
    assert "…" not in out


def test_json_on_standard_output_stands_alone(bench):
    _, out, _, _ = bench("--json", "-")
    assert json.loads(out) == json.loads(json.dumps(RESULT))


def test_json_in_a_file_comes_with_the_tables(bench, tmp_path):
    _, out, _, _ = bench("--json", "new/result.json")
    assert "Layers, float32, graph" in out
    assert json.loads((tmp_path / "new" / "result.json").read_text())["layers"][0]["shape"] == [64, 56, 56, 64]
    assert os.listdir(tmp_path / "new") == ["result.json"]


def test_a_number_that_is_not_finite_is_null_in_the_file(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "run", lambda plan, watcher: {**RESULT, "copy_bytes_per_second": float("nan")})
    bench("--json", "-")
    _, out, _, _ = bench("--json", "-")
    assert json.loads(out, parse_constant=pytest.fail)["copy_bytes_per_second"] is None


def test_stopping_it_is_one_line(bench, monkeypatch):
    def stopped(plan, watcher):
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "run", stopped)
    code, out, err, _ = bench()
    assert (code, out) == (130, "")
    assert err.endswith("Stopped; what was measured is not kept.\n")


@pytest.mark.slow
def test_a_quick_run_measures_and_prints_and_writes(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    words = ["bench", "--quick", "--shape", "32x64", "--json", str(tmp_path / "result.json")]
    done = subprocess.run(
        [sys.executable, "-m", "evenbatch", *words], capture_output=True, text=True, env=environment, check=True
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert [row["phase"] for row in result["layers"]] == ["training", "inference"]
    assert {row["model"] for row in result["models"]} == {"mlp"}
    assert result["copy_bytes_per_second"] > 0
    assert "Keras/ours" in done.stdout
    assert "[3/3] model mlp" in done.stderr
    assert "I0000" not in done.stderr


@pytest.fixture
def own_model(tmp_path):
    """A small model of a user's, with a step of its own optimizer."""
    inputs = keras.Input((6,), dtype="int32")
    x = keras.layers.BatchNormalization()(keras.layers.Embedding(9, 4)(inputs))
    model = keras.Model(inputs, {"a": keras.layers.Dense(2)(x), "b": keras.layers.Flatten()(x)})
    model.compile("adamw", {"a": "mse", "b": "mse"})
    model.save(tmp_path / "own.keras")
    return tmp_path / "own.keras"


@pytest.mark.slow
def test_a_users_own_model_is_measured_before_and_after_with_its_memory(own_model, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    words = ["bench", "--quick", "--only", "models", "--only", "memory", "--model", str(own_model), "--batch-size", "5"]
    done = subprocess.run(
        [sys.executable, "-m", "evenbatch", *words, "--json", str(tmp_path / "result.json")],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert [(row["model"], row["phase"], row["batch_size"]) for row in result["models"]] == [
        ("own", "training", 5),
        ("own", "inference", 5),
    ]
    assert all(set(row["seconds"]) == {"ours", "keras"} for row in result["models"])
    assert result["memory_of_files"][0]["errors"] == {}
    assert set(result["memory_of_files"][0]["arms"]) == {"ours", "keras"}
    assert "Peak memory of loading own and a training step, batch 5" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        ([keras.layers.Dense(2)], "own.keras holds no batch normalization, so there is nothing to compare"),
        ([keras.layers.Lambda(lambda x: x), keras.layers.BatchNormalization()], "pass --unsafe"),
    ],
)
def test_a_model_that_cannot_be_compared_is_refused_before_anything_is_measured(layers, sentence, tmp_path):
    keras.Sequential([keras.Input((6,)), *layers]).save(tmp_path / "own.keras")
    words = ["bench", "--model", str(tmp_path / "own.keras")]
    done = subprocess.run([sys.executable, "-m", "evenbatch", *words], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert "[1/" not in done.stderr
