"""Measures what a plan asks for, and gives every number as one JSON value."""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from evenbatch import backend as keras_backend
from evenbatch.bench import backends, peak_memory
from evenbatch.bench.byte_floor import PASSES, tensor_bytes
from evenbatch.bench.copy_bandwidth import copy_bandwidth
from evenbatch.bench.interleave import Call, Samples, interleave
from evenbatch.bench.plan import FileCase, MemoryCase, Plan, Shape
from evenbatch.bench.row import row

_SECONDS_A_CASE = 15.0

# About how long each takes on two cores; only the time left is estimated from it.
_LAYER_COST, _MEMORY_COST, _MODEL_COST, _FILE_COST, _FILE_MEMORY_COST = 2.0, 7.0, 8.0, 60.0, 20.0
_MODEL_COSTS = {"mlp": 4.0, "cnn": 8.0, "resnet20": 40.0, "mobilenet_v2": 45.0}


class Watcher(Protocol):
    """Is told how far the measuring is."""

    def begin(self, cases: int, cost: float) -> None:
        """So many cases will be measured, which together cost that much."""

    def case(self, name: str, cost: float) -> None:
        """A case begins; the one before it is done."""

    def end(self) -> None:
        """All is done, or has failed."""


def run(plan: Plan, watcher: Watcher) -> dict[str, Any]:
    """Everything that the plan asks for.

    Memory comes first: its processes need the GPU's memory, which this process takes as soon as it computes.

    Raises:
        InvalidArgument: this installation cannot run one of the modes, or a file is no `.keras` file.
        StorageError, UnsupportedModel: a file's model cannot be read, or not exchanged.
    """
    backend = backends.load(plan.backend)
    for mode in plan.modes:
        backend.require(mode)
    _require_files(plan)
    watcher.begin(*_size(plan))
    try:
        memory = _memory(plan, watcher)
        memory_of_files = [_memory_of_file(plan, case, watcher) for case in plan.files if plan.processes_a_file]
        watcher.case("copy bandwidth", _LAYER_COST)
        bandwidth = copy_bandwidth(backend)
        layers = [
            row
            for mode in plan.modes
            for shape in plan.shapes
            for row in _layer(backend, plan, shape, mode, bandwidth, watcher)
        ]
        models = [
            row for mode in plan.modes for name in plan.models for row in _model(backend, plan, name, mode, watcher)
        ]
        models += [
            row
            for mode in plan.modes
            for case in plan.files
            if plan.times_files
            for row in _file(backend, plan, case, mode, watcher)
        ]
    finally:
        watcher.end()
    device = backend.device()
    return {
        "backend": plan.backend,
        "versions": keras_backend.versions(),
        "device": {"kind": device.kind, "name": device.name, "threads": device.threads},
        "copy_bytes_per_second": bandwidth,
        "dtype": plan.dtype,
        "rounds": plan.rounds,
        "passes": PASSES,
        "layers": layers,
        "models": models,
        "memory": memory,
        "memory_of_files": memory_of_files,
    }


def _require_files(plan: Plan) -> None:
    """Reads and exchanges every file's model once, so that minutes of measuring do not end in a refusal."""
    if plan.files:
        from evenbatch.bench import file_cases

        for case in plan.files:
            model = file_cases.load(case)
            file_cases.with_layer(model, "ours", case)
            file_cases.batch(model, case, 1)


def _size(plan: Plan) -> tuple[int, float]:
    """Cases of a plan, and what they cost."""
    costs = [_LAYER_COST] * (1 + len(plan.modes) * len(plan.shapes))
    costs += [_MODEL_COSTS.get(name, _MODEL_COST) for name in plan.models for _ in plan.modes]
    costs += [_FILE_COST for _ in plan.files for _ in plan.modes if plan.times_files]
    costs += [_MEMORY_COST] * (plan.memory.processes * len(peak_memory.ARMS[MemoryCase]) if plan.memory else 0)
    costs += [_FILE_MEMORY_COST] * (len(plan.files) * plan.processes_a_file * len(peak_memory.ARMS[FileCase]))
    return len(costs), sum(costs)


def _memory(plan: Plan, watcher: Watcher) -> dict[str, Any] | None:
    if plan.memory is None:
        return None
    started = partial(_started, watcher, _MEMORY_COST)
    return {
        "stack": dataclasses.asdict(plan.memory),
        **peak_memory.measure(plan, plan.memory, plan.memory.processes, started),
    }


def _memory_of_file(plan: Plan, case: FileCase, watcher: Watcher) -> dict[str, Any]:
    started = partial(_started, watcher, _FILE_MEMORY_COST)
    return {
        "model": Path(case.path).stem,
        "batch_size": case.batch_size,
        **peak_memory.measure(plan, case, plan.processes_a_file, started),
    }


def _started(watcher: Watcher, cost: float, name: str) -> None:
    watcher.case(name, cost)


def _layer(
    backend: backends.Backend, plan: Plan, shape: Shape, mode: str, bandwidth: float, watcher: Watcher
) -> list[dict[str, Any]]:
    from evenbatch.bench.layer_cases import layer_arms

    text, size = "×".join(map(str, shape)), tensor_bytes(shape, plan.dtype)
    watcher.case(f"layer {text}, {mode}", _LAYER_COST)
    return [
        {"shape": list(shape), "mode": mode, **row(phase, _samples(backend, plan, arms), size, bandwidth)}
        for phase, arms in layer_arms(backend, shape, plan.dtype, mode).items()
    ]


def _model(backend: backends.Backend, plan: Plan, name: str, mode: str, watcher: Watcher) -> list[dict[str, Any]]:
    from evenbatch.bench.model_cases import batch_size, model_arms

    watcher.case(f"model {name}, {mode}", _MODEL_COSTS.get(name, _MODEL_COST))
    arms = model_arms(backend, name, plan.dtype, mode)
    return _model_rows(backend, plan, name, batch_size(name), mode, arms)


def _file(backend: backends.Backend, plan: Plan, case: FileCase, mode: str, watcher: Watcher) -> list[dict[str, Any]]:
    from evenbatch.bench.file_cases import file_arms

    name = Path(case.path).stem
    watcher.case(f"model {name}, {mode}", _FILE_COST)
    batch_size, arms = file_arms(backend, case, mode)  # a model may be made for one size of a batch
    return _model_rows(backend, plan, name, batch_size, mode, arms)


def _model_rows(
    backend: backends.Backend, plan: Plan, name: str, batch_size: int, mode: str, phases: dict[str, dict[str, Call]]
) -> list[dict[str, Any]]:
    return [
        {"model": name, "batch_size": batch_size, "mode": mode, **row(phase, _samples(backend, plan, arms))}
        for phase, arms in phases.items()
    ]


def _samples(backend: backends.Backend, plan: Plan, arms: Mapping[str, Call]) -> Samples:
    return interleave(arms, backend.wait, rounds=plan.rounds, budget=_SECONDS_A_CASE)
