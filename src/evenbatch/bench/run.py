"""Measures what a plan asks for, and gives every number as one JSON value."""

from collections.abc import Mapping
from typing import Any, Protocol

from evenbatch import backend as keras_backend
from evenbatch.bench import backends, peak_memory
from evenbatch.bench.byte_floor import PASSES, tensor_bytes
from evenbatch.bench.copy_bandwidth import copy_bandwidth
from evenbatch.bench.interleave import Call, Samples, interleave
from evenbatch.bench.plan import Plan, Shape
from evenbatch.bench.row import row

_SECONDS_A_CASE = 15.0

# About how long each takes on two cores; only the time left is estimated from it.
_LAYER_COST, _MEMORY_COST = 2.0, 7.0
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
        InvalidArgument: this installation cannot run one of the modes.
    """
    backend = backends.load(plan.backend)
    for mode in plan.modes:
        backend.require(mode)
    watcher.begin(*_size(plan))
    try:
        memory = None
        if plan.memory:
            memory = peak_memory.measure(plan, plan.memory, lambda name: watcher.case(name, _MEMORY_COST))
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
    }


def _size(plan: Plan) -> tuple[int, float]:
    """Cases of a plan, and what they cost."""
    processes = plan.memory.processes * len(peak_memory.ARMS) if plan.memory else 0
    layers, models = len(plan.modes) * len(plan.shapes), len(plan.modes) * len(plan.models)
    cost = sum(map(_model_cost, plan.models)) * len(plan.modes) + _LAYER_COST * (1 + layers) + _MEMORY_COST * processes
    return 1 + processes + layers + models, cost


def _model_cost(name: str) -> float:
    return _MODEL_COSTS.get(name, 8.0)


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

    watcher.case(f"model {name}, {mode}", _model_cost(name))
    return [
        {"model": name, "batch_size": batch_size(name), "mode": mode, **row(phase, _samples(backend, plan, arms))}
        for phase, arms in model_arms(backend, name, plan.dtype, mode).items()
    ]


def _samples(backend: backends.Backend, plan: Plan, arms: Mapping[str, Call]) -> Samples:
    return interleave(arms, backend.wait, rounds=plan.rounds, budget=_SECONDS_A_CASE)
