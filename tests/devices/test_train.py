"""`evenbatch train --devices N`: the number of devices changes nothing but the time."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from evenbatch import devices
from evenbatch.errors import BackendUnavailable

BACKEND = keras.backend.backend()
EVENBATCH = [sys.executable, "-m", "evenbatch", "train"]
SETTINGS = ["--batch-size", "18", "--epochs", "2"]  # of 90 examples, so that a batch divides by 2


def train(*words, fails=False):
    done = subprocess.run([*EVENBATCH, *map(str, words)], capture_output=True, text=True, timeout=180)
    assert (done.returncode != 0) == fails, done.stderr
    return done


def weights(folder):
    return keras.models.load_model(folder / "model.keras").get_weights()


@pytest.fixture(scope="module")
def runs(tmp_path_factory, arrays):
    """The same training on one and on two devices."""
    folder = tmp_path_factory.mktemp("runs")
    np.savez(folder / "small.npz", **arrays)
    for count in (1, 2):
        out = folder / str(count)
        train("cnn", "--data", folder / "small.npz", *SETTINGS, "--devices", count, "--threads", 1, "--out", out)
    return folder


@pytest.mark.slow
def test_two_devices_end_with_the_weights_of_one(runs):
    for one, two in zip(weights(runs / "1"), weights(runs / "2"), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_history_and_test_result_are_those_of_the_global_batch(runs):
    histories = [np.genfromtxt(runs / name / "history.csv", delimiter=",", names=True) for name in ("1", "2")]
    assert len(histories[1]) == 2
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-4)
    one, two = (json.loads((runs / name / "trial.json").read_text()) for name in ("1", "2"))
    assert two["test"] == pytest.approx(one["test"], rel=1e-4)
    assert two["device"].startswith("2 × ")


@pytest.mark.slow
def test_the_number_of_devices_belongs_to_the_specification(runs):
    words = ["cnn", "--data", runs / "small.npz", *SETTINGS, "--threads", 1, "--out", runs / "1"]
    assert "devices: 1 here, 2 asked for" in train(*words, "--devices", 2, fails=True).stderr


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_alike(runs):
    words = ["cnn", "--data", runs / "small.npz", "--batch-size", "18", "--epochs", "4", "--devices", "2"]
    words = [*EVENBATCH, *map(str, words), "--threads", "1", "--out"]
    subprocess.run([*words, str(runs / "whole")], check=True, capture_output=True, timeout=180)
    broken = subprocess.Popen([*words, str(runs / "broken")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (runs / "broken" / "checkpoint.npz").exists() or broken.poll() is not None)
    broken.kill()
    broken.wait()
    subprocess.run([*words, str(runs / "broken")], check=True, capture_output=True, timeout=180)
    for whole, again in zip(weights(runs / "whole"), weights(runs / "broken"), strict=True):
        np.testing.assert_allclose(again, whole, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="a process for each device has only PyTorch")
def test_a_rank_that_is_killed_ends_the_training_with_a_sentence(runs):
    words = ["cnn", "--data", runs / "small.npz", "--batch-size", "18", "--epochs", "100000", "--devices", "2"]
    command = [*EVENBATCH, *map(str, words), "--out", str(runs / "killed")]
    leader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (runs / "killed" / "checkpoint.npz").exists())
    (follower,) = [pid for pid in children(leader.pid) if "spawn_main" in command_line(pid)]
    os.kill(follower, signal.SIGKILL)
    _, said = leader.communicate(timeout=60)
    assert leader.returncode == 2
    assert "rank 1 of 2 has ended: with exit code -9" in said
    assert not (runs / "killed" / "trial.json").exists()


def wait_for(happened, seconds=120):
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.02)


def children(pid):
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_device_is_refused(count, small_file, tmp_path):
    done = train("mlp", "--data", small_file, "--devices", count, "--out", tmp_path / "run", fails=True)
    assert done.returncode == 2
    assert f"devices must be an integer of at least 1, received {count}" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch divides nothing: a device is a process")
def test_devices_must_be_asked_for_before_the_framework_runs():
    keras.ops.ones(3)
    with pytest.raises(BackendUnavailable, match="in a new process"):
        devices.prepare(64)


def test_one_device_is_keras_as_it_is():
    devices.prepare(1)
    assert isinstance(devices.team(1), devices.One)
