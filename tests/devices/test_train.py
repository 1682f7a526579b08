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
SETTINGS = ["--batch-size", "18", "--epochs", "4", "--threads", "1"]  # of 90 examples, so that a batch divides by 2


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
    odd = {name: array[:-1] if name.endswith("test") else array for name, array in arrays.items()}
    np.savez(folder / "small.npz", **odd)  # 29 examples to test on, which divide by nothing
    for count in (1, 2):
        out = folder / str(count)
        train("cnn", "--data", folder / "small.npz", *SETTINGS, "--devices", count, "--out", out)
    return folder


@pytest.mark.slow
def test_two_devices_end_with_the_weights_of_one(runs):
    for one, two in zip(weights(runs / "1"), weights(runs / "2"), strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=2e-6)


@pytest.mark.slow
def test_history_and_test_result_are_those_of_the_global_batch(runs):
    histories = [np.genfromtxt(runs / name / "history.csv", delimiter=",", names=True) for name in ("1", "2")]
    assert len(histories[1]) == 4
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(histories[1][name], histories[0][name], rtol=1e-4)
    one, two = (json.loads((runs / name / "trial.json").read_text()) for name in ("1", "2"))
    assert two["test"] == pytest.approx(one["test"], rel=1e-4)
    assert two["device"].startswith("2 × ")


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_alike(runs):
    words = ["cnn", "--data", runs / "small.npz", *SETTINGS, "--devices", 2, "--out", runs / "broken"]
    command = [*EVENBATCH, *map(str, words)]
    broken = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (runs / "broken" / "checkpoint.npz").exists() or broken.poll() is not None)
    broken.kill()
    broken.wait()
    train(*words)
    for whole, again in zip(weights(runs / "2"), weights(runs / "broken"), strict=True):
        np.testing.assert_allclose(again, whole, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="a process for each device has only PyTorch")
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_nothing_is_left_behind_where_it_is_stopped_before_the_ranks_have_met(runs, sent, code):
    words = ["cnn", "--data", runs / "small.npz", "--batch-size", "18", "--devices", "2", "--out", runs / f"{code}"]
    command = [*EVENBATCH, *map(str, words)]
    leader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: followers_of(leader.pid))
    followers = followers_of(leader.pid)
    if sent == signal.SIGINT:
        os.killpg(leader.pid, sent)  # as a terminal does on Ctrl-C
    else:
        leader.kill()
    assert leader.wait(timeout=30) == code
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in followers), seconds=60)


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="a process for each device has only PyTorch")
def test_a_rank_that_is_killed_ends_the_training_with_a_sentence(runs):
    words = ["cnn", "--data", runs / "small.npz", "--batch-size", "18", "--epochs", "100000", "--devices", "2"]
    command = [*EVENBATCH, *map(str, words), "--out", str(runs / "killed")]
    leader = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (runs / "killed" / "checkpoint.npz").exists())
    (follower,) = followers_of(leader.pid)
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


def followers_of(pid):
    """The processes of the other ranks; there is one more, which looks after what multiprocessing shares."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_device_is_refused(count, small_file, tmp_path):
    done = train("mlp", "--data", small_file, "--devices", count, "--out", tmp_path / "run", fails=True)
    assert done.returncode == 2
    assert f"devices must be an integer of at least 1, received {count}" in done.stderr
    assert not (tmp_path / "run").exists()


def test_more_devices_than_rows_of_a_batch_are_refused(small_file, tmp_path):
    words = ["mlp", "--data", small_file, "--devices", 3, "--batch-size", 2, "--out", tmp_path / "run"]
    done = train(*words, fails=True)
    assert done.returncode == 2
    assert "devices must be at most batch_size" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch divides nothing: a device is a process")
def test_devices_must_be_asked_for_before_the_framework_runs():
    keras.ops.ones(3)
    with pytest.raises(BackendUnavailable, match="in a new process"):
        devices.prepare(64)


def test_one_device_is_keras_as_it_is():
    devices.prepare(1)
    assert isinstance(devices.team(1), devices.One)
