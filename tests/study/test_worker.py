import os

import pytest

from evenbatch.study import worker

READ_AT_START = ("KERAS_BACKEND", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC")


def test_processes_started_inside_find_backend_and_threads(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_mine=1")
    with worker.environment(3, "jax"):
        assert [os.environ[name] for name in READ_AT_START] == ["jax", "3", "3", "3", "3"]
        assert os.environ["XLA_FLAGS"] == "--xla_mine=1 --xla_cpu_multi_thread_eigen=true"


def test_afterwards_everything_is_as_it_was(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("NPROC", raising=False)
    before = dict(os.environ)
    with pytest.raises(RuntimeError), worker.environment(1, "torch"):
        raise RuntimeError
    assert dict(os.environ) == before
