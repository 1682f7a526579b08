"""The cases on JAX: devices of one process under `shard_map`."""

from functools import partial
from typing import Any

import cases
import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
from worker import inputs_of, layer_of


class Runner:
    writes = True

    def __init__(self, replicas: int) -> None:
        jax.config.update("jax_num_cpu_devices", replicas)
        self.mesh = jax.make_mesh((replicas,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))

    def end(self) -> None:
        pass

    def on_one(self, case: cases.Case, batch: cases.Batch) -> dict[str, Any]:
        layer = layer_of(case, batch)
        given = {key: jnp.asarray(value) for key, value in _arrays(batch).items()}
        found, moving = _step(case, layer, *_weights(layer), given)
        return found | dict(zip([v.name for v in layer.non_trainable_variables], moving, strict=True))

    def on_many(self, case: cases.Case, batch: cases.Batch) -> list[dict[str, Any]]:
        import evenbatch as eb

        layer = layer_of(case, batch)

        def step(trainable: Any, moving: Any, given: Any) -> Any:
            with eb.replicas(axis_name="batch"):
                # JAX would sum the gradients of the weights by itself; what each replica says of them is wanted.
                found, after = _step(case, layer, jax.lax.pcast(trainable, "batch", to="varying"), moving, given)
            return jax.tree.map(lambda a: a[None], found), after

        # `P()` for the moving statistics: JAX itself checks that they are the same on every device.
        run = jax.shard_map(step, mesh=self.mesh, in_specs=(P(), P(), P("batch")), out_specs=(P("batch"), P()))
        found, moving = (jax.jit(run) if case.mode == "graph" else run)(*_weights(layer), _arrays(batch))
        names = [v.name for v in layer.non_trainable_variables]
        return [
            {key: value[i] for key, value in found.items()}
            | {name: value.addressable_shards[i].data for name, value in zip(names, moving, strict=True)}
            for i in range(len(case.split))
        ]


def _weights(layer: Any) -> tuple[Any, Any]:
    return [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]


def _arrays(batch: cases.Batch) -> dict[str, Any]:
    given = {"x": batch.x, "dy": batch.dy, "labels": batch.labels}
    return given | ({} if batch.mask is None else {"mask": batch.mask})


def _step(case: cases.Case, layer: Any, trainable: Any, moving: Any, given: dict[str, Any]) -> tuple[Any, Any]:
    def loss(x: Any, trainable: Any) -> Any:
        kwargs = {"mask": given["mask"]} if "mask" in given else {}
        inputs = inputs_of(case, x, given["labels"])
        y, after = layer.stateless_call(trainable, moving, inputs, training=True, **kwargs)
        y = y.astype(x.dtype)
        return jnp.sum(y * given["dy"]), (y, after)

    gradient = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (dx, weights), (y, after) = gradient(given["x"], trainable)
    found = {"y": y, "dx": dx}
    found |= {f"d{v.name}": dv for v, dv in zip(layer.trainable_variables, weights, strict=True)}
    if case.penalty:
        penalty = partial(_penalty, gradient, given, trainable)
        found["ddx"] = jax.grad(penalty)(given["x"])
    return found, after


def _penalty(gradient: Any, given: dict[str, Any], trainable: Any, x: Any) -> Any:
    (dx, _), _ = gradient(x, trainable)
    return jnp.sum(jnp.square(dx) * given["dy"])
