"""The examples for several machines, in two real processes on loopback; and what one sees when the other stops."""

import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from launch import processes

BACKEND = keras.backend.backend()
# What the last line of the process that is left says, and within how many seconds, the time-out given being 5.
# A stalled process of JAX still gives signs of life, so that JAX never takes it for gone.
LEFT = {
    ("torch", "killed"): ("SharingFailed", 5),
    ("torch", "stalled"): ("SharingFailed", 5),
    ("tensorflow", "killed"): ("DeadlineExceededError|UnavailableError", 5),
    ("tensorflow", "stalled"): ("DeadlineExceededError", 5),
    ("jax", "killed"): ("heartbeat timeout", 10),
}
HERE = [(how, *said) for (backend, how), said in LEFT.items() if backend == BACKEND]
FOR_THE_END = 20  # seconds that a process has to end in after its error, on a busy machine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What two processes and what one have printed, and the models that they saved."""
    found = {}
    for count in (2, 1):
        folder = tmp_path_factory.mktemp(f"{count}-processes")
        paths = [folder / f"{i}.keras" for i in range(count)]
        found[count] = paths[0], printed_by(paths) or printed_by(paths)
    return found


def printed_by(paths):
    """What each process has printed; nothing where torch 2.13 aborted one after its work, which it has been seen to."""
    with processes(BACKEND, paths) as started:
        try:
            for one in started:
                assert one.code(seconds=60) == 0, one.printed[-4000:]
        except AssertionError:
            if any("terminate called without an active exception" in one.printed for one in started):
                return []
            raise
        return [one.printed for one in started]


def moving_statistics(printed):
    return re.findall(r"process (\d): moving statistics (\w{8})", printed)


def test_both_processes_end_with_the_same_moving_statistics(runs):
    [(first, of_first)], [(second, of_second)] = map(moving_statistics, runs[2][1])
    assert {first, second} == {"0", "1"}
    assert of_first == of_second


def test_the_saved_model_is_that_of_one_process_with_the_same_global_batches(runs):
    two, one = (keras.models.load_model(runs[count][0]) for count in (2, 1))
    for ours, theirs in zip(two.weights, one.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4, err_msg=ours.path)


def test_only_one_process_saves(runs):
    path, _ = runs[2]
    assert [file.name for file in path.parent.glob("*.keras")] == ["0.keras"]


@pytest.mark.parametrize(("how", "error", "seconds"), HERE)
def test_the_process_that_is_left_ends_with_an_error_within_the_time_out(how, error, seconds, tmp_path):
    paths = [tmp_path / "0.keras", tmp_path / "1.keras"]
    with processes(BACKEND, paths, (how, seconds)) as (left, stopping):
        stopping.seconds_until(f"{how} at", at_most=60)
        assert left.code(seconds + FOR_THE_END) != 0
        assert re.search(error, left.printed), left.printed[-4000:]
    assert not paths[0].exists()
