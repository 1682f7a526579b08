"""The commands as a user runs them: real processes on real files, killed ones too."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pytest

import evenbatch as eb

pytestmark = pytest.mark.slow

EVENBATCH = [sys.executable, "-m", "evenbatch"]


def evenbatch(*words, check=True, **more):
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    command = [*EVENBATCH, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=check, env=environment, **more)


def test_train_leaves_model_history_curve_and_logs(small_file, tmp_path):
    out = tmp_path / "run"
    done = evenbatch(
        "train", "cnn", "--data", small_file, "--batch-size", 16, "--epochs", 2, "--tensorboard", "--out", out
    )
    assert "validation accuracy" in done.stdout
    assert "epoch 2/2" in done.stderr
    assert "I0000" not in done.stderr  # the backend's notices stay out of the terminal
    for name in ("model.keras", "history.csv", "learning-curve.png", "learning-curve.svg", "trial.json", "study.json"):
        assert (out / name).stat().st_size > 0
    assert list((out / "tensorboard" / "train").iterdir())
    assert any(
        isinstance(layer, eb.BatchNormalization) for layer in keras.models.load_model(out / "model.keras").layers
    )


def test_train_says_as_json_what_it_found(small_file, tmp_path):
    words = (
        "train",
        "mlp",
        "--without",
        "--data",
        small_file,
        "--batch-size",
        16,
        "--epochs",
        2,
        "--json",
        "--out",
        tmp_path / "r",
    )
    record = json.loads(evenbatch(*words).stdout)
    assert (record["arm"], record["outcome"], record["epochs"]) == ("without", "finished", 2)
    assert set(record["test"]) == {"accuracy", "loss"}
    again = evenbatch(*words)
    assert json.loads(again.stdout) == record
    assert "epoch" not in again.stderr  # a finished training is not run again


def test_a_training_that_diverged_ends_with_code_one(small_file, tmp_path):
    words = ("--data", small_file, "--batch-size", 16, "--learning-rate", "1e38", "--out", tmp_path / "r")
    done = evenbatch("train", "mlp", "--without", *words, check=False)
    assert done.returncode == 1
    assert "diverged after" in done.stdout


def test_compare_prints_a_table_and_the_report_and_as_json_the_summary(small_file, tmp_path):
    words = (
        "compare",
        "mlp",
        "--data",
        small_file,
        "--batch-size",
        16,
        "--epochs",
        2,
        "--seeds",
        2,
        "--out",
        tmp_path / "s",
    )
    scaled = (*words, "--initial-scale", "1", "--initial-scale", "10")
    done = evenbatch(*scaled)
    assert done.stdout.rstrip().endswith(f"Report: {tmp_path / 's' / 'report.html'}")
    assert "learning rate 0.001" in done.stdout
    assert "Not testable: with 2 pairs" in done.stdout
    assert done.stderr.count("finished in") == 8
    summary = json.loads(evenbatch(*scaled, "--json").stdout)
    assert summary == json.loads((tmp_path / "s" / "summary.json").read_text())
    assert [(p["arm"], p["baseline"]) for p in summary["pairs"]] == [
        ("with, weights ×1", "without, weights ×1"),
        ("with, weights ×10", "without, weights ×10"),
    ]
    other = evenbatch(*words, check=False)
    assert other.returncode == 2
    assert "They differ in: arms" in other.stderr


WORDS = ("compare", "regularized", "--seeds", 2, "--epochs", 12, "--jobs", 2, "--out")


def start(out):
    return subprocess.Popen(
        [*EVENBATCH, *map(str, WORDS), str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def alive(pid):
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def numbers(out):
    return {name: value for name, value in json.loads((out / "summary.json").read_text()).items() if name != "timing"}


@pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="looks the worker processes up in /proc, which Linux alone has"
)
def test_a_study_killed_twice_ends_with_the_numbers_of_one_that_never_was(tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    evenbatch(*WORDS, unbroken)

    study = start(broken)
    wait_for(lambda: list(broken.glob("trials/*/checkpoint.npz")))
    os.killpg(study.pid, signal.SIGKILL)  # the whole process group, inside a trial
    study.wait()
    assert not (broken / "summary.json").exists()
    assert not list(broken.glob("trials/*/trial.json"))

    study = start(broken)
    wait_for(lambda: list(broken.glob("trials/*/trial.json")))
    workers = [
        int(pid)
        for pid in subprocess.run(["pgrep", "-P", str(study.pid)], capture_output=True, text=True).stdout.split()
    ]
    assert workers
    study.kill()  # the parent alone: its workers end by themselves
    study.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers), seconds=20)
    finished = {path: path.stat().st_mtime_ns for path in broken.glob("trials/*/trial.json")}
    assert finished

    evenbatch(*WORDS, broken)
    assert numbers(broken) == numbers(unbroken)
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    left = {path.name for path in broken.rglob("*") if path.is_file()}
    assert not left & {"checkpoint.npz", "progress.json", "lock", ".lock"}
    assert not [name for name in left if ".partial" in name]


def test_a_study_that_the_user_stops_says_so_and_goes_on(tmp_path):
    study = subprocess.Popen(
        [*EVENBATCH, *map(str, WORDS), str(tmp_path / "s")], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for(lambda: list((tmp_path / "s").glob("trials/*/checkpoint.npz")))
    os.killpg(study.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
    _, err = study.communicate(timeout=60)
    assert study.returncode == 130
    assert err.rstrip().endswith("Stopped; the same command goes on from here.")
    assert "Traceback" not in err
    evenbatch(*WORDS, tmp_path / "s")
    assert (tmp_path / "s" / "report.html").exists()


def test_a_full_disk_ends_with_one_sentence_and_the_study_goes_on_later(small_file, tmp_path):
    """A real limit on the size of a file, which the saved model of a trial meets."""
    out = tmp_path / "s"
    words = [
        "compare",
        "mlp",
        "--data",
        str(small_file),
        "--batch-size",
        "16",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--out",
        str(out),
    ]
    limited = f"ulimit -f 8; exec {' '.join([*EVENBATCH, *words])}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot write" in done.stderr
    assert "run the same command again" in done.stderr
    assert not list(out.glob("trials/*/model.keras"))
    evenbatch(*words)
    assert (out / "report.html").exists()
