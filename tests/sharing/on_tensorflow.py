"""The cases on TensorFlow: logical devices of one process under `MirroredStrategy`."""

from typing import Any

import cases
import tensorflow as tf
from worker import inputs_of, layer_of


class Runner:
    writes = True

    def __init__(self, replicas: int) -> None:
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
        self.strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])

    def end(self) -> None:
        pass

    def on_one(self, case: cases.Case, batch: cases.Batch) -> dict[str, Any]:
        layer = layer_of(case, batch)
        found = _maybe_graph(lambda: _step(case, layer, _tensors(case, batch, slice(None))), case)()
        return {key: value.numpy() for key, value in found.items()} | _moving(layer)

    def on_many(self, case: cases.Case, batch: cases.Batch) -> list[dict[str, Any]]:
        with self.strategy.scope():
            layer = layer_of(case, batch)
        parts = [_tensors(case, batch, cut) for cut in case.cuts()]
        given = {
            key: self.strategy.experimental_distribute_values_from_function(
                lambda context, key=key: parts[context.replica_id_in_sync_group][key]
            )
            for key in parts[0]
        }
        found = _maybe_graph(lambda: self.strategy.run(lambda given: _step(case, layer, given), args=(given,)), case)()
        results = []
        for i in range(len(parts)):
            mine = {key: self.strategy.experimental_local_results(value)[i].numpy() for key, value in found.items()}
            results.append(mine | _moving(layer, i, self.strategy))
        return results


def _maybe_graph(function: Any, case: cases.Case) -> Any:
    return tf.function(function, autograph=False) if case.mode == "graph" else function


def _tensors(case: cases.Case, batch: cases.Batch, cut: slice) -> dict[str, Any]:
    given = {"x": tf.constant(batch.x[cut]), "dy": tf.constant(batch.dy[cut]), "labels": tf.constant(batch.labels[cut])}
    if batch.mask is not None:
        given["mask"] = tf.constant(batch.mask[cut])
    return given


def _step(case: cases.Case, layer: Any, given: dict[str, Any]) -> dict[str, Any]:
    x = given["x"]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=case.penalty) as tape:
            tape.watch(x)
            kwargs = {"mask": given["mask"]} if "mask" in given else {}
            y = layer(inputs_of(case, x, given["labels"]), training=True, **kwargs)
            loss = tf.reduce_sum(tf.cast(y, x.dtype) * given["dy"])
        dx, *weights = tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])
        penalty = tf.reduce_sum(tf.square(dx) * given["dy"]) if case.penalty else None
    found = {"y": tf.cast(y, x.dtype), "dx": dx}
    found |= {f"d{v.name}": tf.convert_to_tensor(dv) for v, dv in zip(layer.trainable_variables, weights, strict=True)}
    if case.penalty:
        found["ddx"] = outer.gradient(penalty, x)
    return found


def _moving(layer: Any, replica: int = 0, strategy: Any = None) -> dict[str, Any]:
    found = {}
    for weight in layer.non_trainable_variables:
        value = weight.value if strategy is None else strategy.experimental_local_results(weight.value)[replica]
        found[weight.name] = value.numpy()
    return found
