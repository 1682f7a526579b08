import subprocess

import keras
import pytest

from evenbatch.bench import memory_worker, peak_memory, resident
from evenbatch.bench.plan import plan

PLAN = plan(keras.backend.backend(), quick=True, only=["memory"])


def test_resident_memory_that_was_used_and_given_back_is_seen():
    before = resident.start()
    bytearray(b"\1") * (64 * 2**20)
    assert resident.peak() - before >= 60 * 2**20


def test_the_stack_has_the_layer_as_often_as_the_case_says():
    for arm, expected in (("ours", 3), ("keras", 3), ("without", 0)):
        layers = memory_worker.stack(PLAN.memory, arm).layers
        assert sum(isinstance(layer, keras.layers.BatchNormalization) for layer in layers) == expected


def test_the_processes_of_the_arms_take_turns(monkeypatch):
    monkeypatch.setattr(peak_memory, "in_process", lambda plan, case, arm: {"ours": 1, "keras": 3, "without": 2}[arm])
    started = []
    found = peak_memory.measure(PLAN, PLAN.memory, 1, started.append)
    assert started == [f"memory, {arm}, process 1 of 1" for arm in ("ours", "keras", "without")]
    assert found["arms"]["keras"]["bytes"] == {"median": 3, "low": 3, "high": 3}
    assert found["errors"] == {}


def test_a_process_that_ends_early_is_told_and_the_others_go_on(monkeypatch):
    def in_process(plan, case, arm):
        if arm == "keras":
            raise subprocess.CalledProcessError(-9, "worker", stderr="first\nout of memory\n")
        return 5

    monkeypatch.setattr(peak_memory, "in_process", in_process)
    found = peak_memory.measure(PLAN, PLAN.memory, 1, lambda name: None)
    assert found["arms"]["keras"]["bytes"] is None
    assert found["arms"]["ours"]["bytes"]["median"] == 5
    assert found["errors"] == {"keras": "out of memory"}


def test_a_worker_has_the_backend_of_the_plan_and_takes_gpu_memory_as_it_needs_it():
    found = peak_memory.environment("jax")
    assert found["KERAS_BACKEND"] == "jax"
    assert found["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
    assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


@pytest.mark.slow
def test_a_process_tells_the_memory_of_its_step():
    # 6 tensors of 8 × 32 × 32 × 16 floats are kept for the gradients at least: half a MiB each.
    assert peak_memory.in_process(PLAN, PLAN.memory, "keras") >= 2**20
