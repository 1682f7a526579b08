"""Devices of one process: `keras.distribution.DataParallel`, and `shard_map` with `eb.replicas`."""

import re
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from arms import ARMS, DATA, IMAGE, MASK, MASKED, PARTIAL, SHAPE, Make, one_layer, resnet20
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import evenbatch as eb
from evenbatch.bench import backends
from evenbatch.bench.tensors import labels, values

_COLLECTIVE = re.compile(r"= (.+?) (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
_ARRAY = re.compile(r"(f64|f32|f16|bf16|s32|u32|pred)\[([\d,]*)\]")
_SIZES = {"f64": 8, "f32": 4, "s32": 4, "u32": 4, "f16": 2, "bf16": 2, "pred": 1}


class Runner:
    is_global = ("ours, synchronized", "ours, not", "Keras, not")
    counted = "collectives in the compiled program, without the sum of gradients of weights"

    def __init__(self, replicas: int) -> None:
        jax.config.update("jax_num_cpu_devices", replicas)
        self.mesh = jax.make_mesh((replicas,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
        keras.distribution.set_distribution(
            keras.distribution.DataParallel(devices=[f"cpu:{i}" for i in range(replicas)])
        )

    def cost(self, make: Make) -> list[Any]:
        layer = make()
        layer.build((None, *SHAPE[1:]))
        state = [[v.value for v in group] for group in (layer.trainable_variables, layer.non_trainable_variables)]
        x = self._sharded(jnp.zeros((self.mesh.size * SHAPE[0], *SHAPE[1:])))
        rows = []
        for way in (self._jit_and_sharding, self._shard_map):
            (found, branch), (whole, _) = (
                _collectives(way(partial(step, layer)), state, x) for step in (_forward, _both)
            )
            besides = f"{len(branch)} more where means are far from 0" if branch else ""
            rows.append((way.__name__[1:].replace("_", " "), found, whole[len(found) :], besides))
        return rows

    def _jit_and_sharding(self, step: Any) -> Any:
        by_row, alike = NamedSharding(self.mesh, P("batch")), NamedSharding(self.mesh, P())
        return jax.jit(step, in_shardings=(alike, by_row), out_shardings=(by_row, alike))

    def _shard_map(self, step: Any) -> Any:
        def run(state: Any, x: Any) -> Any:
            with eb.replicas(axis_name="batch"):
                # JAX would sum the gradients of the weights by itself, and Keras' moving statistics differ.
                y, moving = step(jax.lax.pcast(state, "batch", to="varying"), x)
            return y, [value[None] for value in moving]

        return jax.jit(
            jax.shard_map(run, mesh=self.mesh, in_specs=(P(), P("batch")), out_specs=P("batch"), check_vma=True)
        )

    def steps(self, batch: int) -> Any:
        framework = backends.load("jax")
        x, y = (self._sharded(one) for one in (values((batch, *IMAGE)), labels(batch)))
        # Under sharding ours is the same program whether synchronized or not.
        names = ("ours, synchronized", "Keras, not")
        calls = {name: framework.model_training(resnet20(ARMS[name]), x, y, "compiled") for name in names}
        return calls, framework.wait

    def moving(self, make: Make) -> tuple[Any, Any, Any]:
        model = _fitted(make, DATA, 4, rate=0.0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            saved = keras.saving.load_model(path).layers[-1]
        return *_moving(model.layers[-1]), [saved.moving_mean.value, saved.moving_variance.value]

    def masked(self, make: Make) -> tuple[Any, Any]:
        layer = make(momentum=0.0)
        layer.build((None, 2))
        layer(self._sharded(MASKED), training=True, mask=self._sharded(MASK))
        return _moving(layer)

    def partial(self, make: Make) -> str:
        try:
            layer = _fitted(make, PARTIAL, 8, rate=0.01).layers[-1]
        except ValueError as error:
            return "fit refuses it" if "evenly divide" in str(error) else str(error)
        return f"gamma {', '.join(f'{float(part[0]):.3g}' for part in _local(layer.gamma))}"

    def far(self, make: Make, x: Any) -> tuple[Any, Any, Any]:
        layer = make(momentum=0.0, scale=False, center=False)
        layer.build((None, x.shape[1]))
        state = [v.value for v in layer.non_trainable_variables]
        run = jax.jit(lambda state, x: layer.stateless_call([], state, x, training=True))
        y, (mean, variance) = run(state, self._sharded(x))
        return np.asarray(y), np.asarray(mean), np.asarray(variance)

    def _sharded(self, batch: Any) -> Any:
        return jax.device_put(jnp.asarray(batch), NamedSharding(self.mesh, P("batch")))


def _forward(layer: Any, state: Any, x: Any) -> Any:
    return layer.stateless_call(*state, x, training=True)


def _both(layer: Any, state: Any, x: Any) -> Any:
    def loss(x: Any) -> Any:
        y, after = _forward(layer, state, x)
        return jnp.sum(y * y), after  # no plain sum, whose gradient is a constant

    return jax.grad(loss, has_aux=True)(x)


def _collectives(run: Any, *given: Any) -> tuple[list[int], list[int]]:
    """Bytes of each collective of the compiled program, and of those in branches; several arrays may go in one."""
    always, branch, entered = [], [], False
    for line in run.lower(*given).compile().as_text().splitlines():
        if line and not line.startswith((" ", "}")):
            entered = line.startswith("ENTRY")
        if found := _COLLECTIVE.search(line):
            size = sum(_bytes(*array) for array in _ARRAY.findall(found.group(1)))
            (always if entered else branch).append(size)
    return always, branch


def _bytes(kind: str, sizes: str) -> int:
    return _SIZES[kind] * int(np.prod([int(size) for size in sizes.split(",") if size], dtype=int))


def _fitted(make: Make, x: Any, batch: int, rate: float) -> Any:
    model = one_layer(make, rate)
    model.fit(x, x, batch_size=batch, shuffle=False, verbose=0)
    return model


def _moving(layer: Any) -> tuple[Any, Any]:
    return _local(layer.moving_mean), _local(layer.moving_variance)


def _local(weight: Any) -> list[Any]:
    return [np.asarray(shard.data) for shard in weight.value.addressable_shards]
