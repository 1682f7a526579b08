"""JAX: always compiled, the state of layers passed in and out. It has no batch normalization of its own."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from evenbatch.bench import cpu
from evenbatch.bench.backends import Device
from evenbatch.bench.interleave import Call


def require(mode: str) -> None:
    """Every installation compiles."""


def device() -> Device:
    """The default device."""
    on_cpu = jax.default_backend() == "cpu"
    return Device("cpu" if on_cpu else "gpu", cpu.name() if on_cpu else jax.devices()[0].device_kind, cpu.cores())


def wait(result: object) -> None:
    """Blocks until the result is there."""
    jax.block_until_ready(result)


def copies(elements: int) -> Mapping[str, Call]:
    """Into a new tensor, and in place in one that is given away."""
    x = jnp.zeros(elements)
    added = jax.jit(lambda x: x + 1.0)
    return {"x + 1": _one_by_one(lambda: added(x)), "x += 1": _chained(_updated, jnp.zeros(elements))}


def layer_training(layer: Any, x: Any, upstream: Any, mode: str) -> Call:
    """`stateless_call` and its vector-Jacobian product."""

    def step(state: Any, trainable: Any, x: Any, upstream: Any) -> Any:
        def forward(trainable: Any, x: Any) -> Any:
            return layer.stateless_call(trainable, state, x, training=True)

        y, back, state = jax.vjp(forward, trainable, x, has_aux=True)
        return (y, back(upstream)), state

    run, trainable = jax.jit(step), [v.value for v in layer.trainable_variables]
    return _chained(lambda state: run(state, trainable, x, upstream), [v.value for v in layer.non_trainable_variables])


def native_training(x: Any, upstream: Any, mode: str) -> Call | None:
    """JAX has none."""
    return None


def inference(module: Any, x: Any, mode: str) -> Call:
    """`stateless_call` with training=False."""
    run = jax.jit(lambda trainable, state, x: module.stateless_call(trainable, state, x, training=False)[0])
    trainable = [v.value for v in module.trainable_variables]
    state = [v.value for v in module.non_trainable_variables]
    return _one_by_one(lambda: run(trainable, state, x))


def native_inference(x: Any, mode: str) -> Call | None:
    """JAX has none."""
    return None


def model_training(model: Any, x: Any, y: Any, mode: str) -> Call:
    """`train_step`, compiled as `fit` compiles it, with the state given away and taken back."""
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    # A copy, because the model's own arrays would be gone after the first step.
    state = tuple([jnp.copy(v.value) for v in group] for group in groups)
    step = jax.jit(model.train_step, donate_argnums=0).lower(state, (x, y)).compile()
    return _chained(lambda state: step(state, (x, y)), state)


def start_peak() -> int | None:
    """From the allocator of the device; a processor keeps no count."""
    return _memory("bytes_in_use") if device().kind == "gpu" else None


def peak() -> int:
    """From the allocator of the device, over the whole process."""
    return _memory("peak_bytes_in_use")


def _memory(field: str) -> int:
    return int((jax.devices()[0].memory_stats() or {})[field])


def _one_by_one(call: Call) -> Call:
    """On a processor JAX may run calls that do not depend on each other at once; none here shall."""
    return (lambda: jax.block_until_ready(call())) if jax.default_backend() == "cpu" else call


def _chained(step: Callable[[Any], tuple[Any, Any]], state: Any) -> Call:
    """Calls that each begin with the state that the last one left."""
    kept = [state]

    def call() -> object:
        result, kept[0] = step(kept[0])
        return result, kept[0]

    return _one_by_one(call)


def _updated(x: Any) -> tuple[Any, Any]:
    return (), _add_in_place(x)


_add_in_place = jax.jit(lambda x: x + 1.0, donate_argnums=0)
