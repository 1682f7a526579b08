"""Starts real replicas once for all cases: logical devices on TensorFlow and JAX, a process each on PyTorch."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the workers import what lies beside them, and so do the tests


@pytest.fixture(scope="session")
def start() -> Callable[..., str]:
    """Runs a script of this folder on that many replicas, and returns what it printed."""
    backend = keras.backend.backend()

    def run(script: str, replicas: int, *arguments: object, fails: bool = False) -> str:
        command = [sys.executable]
        if backend == "torch":
            command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={replicas}"]
        command += [str(HERE / script), str(replicas), *map(str, arguments)]
        environment = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
        found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
        printed = found.stdout + found.stderr
        assert (found.returncode != 0) == fails, printed[-6000:]
        return printed

    return run


@pytest.fixture(scope="session")
def results(start: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Any]:
    """What every case gave on one device and on that many replicas."""
    found: dict[int, Any] = {}

    def of(replicas: int) -> Any:
        if replicas not in found:
            path = tmp_path_factory.mktemp("replicas") / f"{replicas}.npz"
            start("worker.py", replicas, path)
            found[replicas] = np.load(path)
        return found[replicas]

    return of
