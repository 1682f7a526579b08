"""`eb.recalibrate` in several processes: the same statistics on each of them to the bit, those of all examples."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
RANKS = 3

pytestmark = pytest.mark.slow


@contextmanager
def one_process(words, environment):
    """One that does not outlive the block."""
    with subprocess.Popen([sys.executable, *words], env=environment, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.kill()


def run(ranks, folder):
    """What so many processes have found."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(ranks)]
        for one in sockets:
            one.bind(("localhost", 0))
        ports = ",".join(str(one.getsockname()[1]) for one in sockets)
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "OMP_NUM_THREADS": "1", "XLA_FLAGS": ""}
    script, paths = str(Path(__file__).parent / "on_ranks.py"), [folder / f"{ranks}-{i}.npz" for i in range(ranks)]
    with ExitStack() as stack:
        started = [
            stack.enter_context(one_process([script, str(ranks), str(i), ports, str(path)], environment))
            for i, path in enumerate(paths)
        ]
        for one, path in zip(started, paths, strict=True):
            assert one.wait(200) == 0, path
    return [np.load(path) for path in paths]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(RANKS, tmp_path_factory.mktemp("ranks"))


def test_every_process_has_the_statistics_of_all_examples(found, tmp_path):
    (one,) = run(1, tmp_path)
    names = [name for name in one.files if name.startswith("all/")]
    assert len(names) == 18
    for rank in found:
        for name in names:
            np.testing.assert_array_equal(rank[name], found[0][name])
            np.testing.assert_allclose(rank[name], one[name], rtol=2e-5, atol=2e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="elsewhere, to make a model takes all processes")
def test_where_it_is_told_so_a_process_takes_its_own_examples_alone(found):
    x = np.random.default_rng(0).normal(3, 2, (60, 5)).astype("float32")[1:20]
    kernel, bias, mean = found[0]["own/0"], found[0]["own/1"], found[0]["own/4"]
    np.testing.assert_allclose(mean, (x @ kernel + bias).mean(axis=0), rtol=1e-4, atol=1e-5)
