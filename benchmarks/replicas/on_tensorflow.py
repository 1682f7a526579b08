"""Logical devices of one process under `MirroredStrategy`; only one strategy, since two would collide on a CPU."""

import tempfile
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from arms import ARMS, DATA, IMAGE, MASK, MASKED, PARTIAL, SHAPE, Make, one_layer, resnet20

from evenbatch.bench import backends
from evenbatch.bench.interleave import Call
from evenbatch.bench.tensors import labels, values


class Runner:
    is_global = ("ours, synchronized", "Keras, synchronized")
    counted = "`Collective…` operations in the graph of strategy.run()"

    def __init__(self, replicas: int) -> None:
        self.replicas = replicas
        device = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * replicas)
        self.strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])

    def cost(self, make: Make) -> list[Any]:
        with self.strategy.scope():
            layer = make()
            layer.build((None, *SHAPE[1:]))

        def forward(x: Any) -> Any:
            return layer(x, training=True)

        def both(x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = forward(x)
            return tape.gradient(y, [x, layer.gamma.value, layer.beta.value], tf.ones_like(y))

        x = self._parts(tf.zeros((self.replicas * SHAPE[0], *SHAPE[1:])))
        found, whole = (self._operations(step, x) for step in (forward, both))
        sizes, all_sizes = (self._collectives(operations) for operations in (found, whole))
        ones = [one for one in found if one.type == "Fill" and one.outputs[0].shape == SHAPE]
        besides = f"ones to count, {_bytes(ones[0]):,} B in memory" if ones else ""
        return [("", sizes, all_sizes[len(sizes) :], besides)]

    def steps(self, batch: int) -> Any:
        data = self._parts((values((batch, *IMAGE)), labels(batch)))
        calls = {name: self._training_step(make, data) for name, make in ARMS.items()}
        return calls, backends.load("tensorflow").wait

    def _training_step(self, make: Make, data: Any) -> Call:
        with self.strategy.scope():
            model = resnet20(make)

        def step(data: Any) -> Any:
            return self.strategy.run(model.train_step, (data,))

        graph = tf.function(step, autograph=False).get_concrete_function(data)
        return lambda: graph(data)

    def moving(self, make: Make) -> tuple[Any, Any, Any]:
        model = self._fitted(make, DATA, 4, rate=0.0)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            saved = keras.saving.load_model(path).layers[-1]
        return *self._moving(model.layers[-1]), [saved.moving_mean, saved.moving_variance]

    def masked(self, make: Make) -> tuple[Any, Any]:
        with self.strategy.scope():
            layer = make(momentum=0.0)
            layer.build((None, 2))
        self.strategy.run(lambda x, mask: layer(x, training=True, mask=mask), self._parts((MASKED, MASK)))
        return self._moving(layer)

    def partial(self, make: Make) -> str:
        layer = self._fitted(make, PARTIAL, 8, rate=0.01).layers[-1]
        gammas = [float(part[0]) for part in self._local(layer.gamma)]
        return f"gamma {', '.join(f'{gamma:.3g}' for gamma in gammas)}"

    def far(self, make: Make, x: Any) -> tuple[Any, Any, Any]:
        with self.strategy.scope():
            layer = make(momentum=0.0, scale=False, center=False)
            layer.build((None, x.shape[1]))
        run = tf.function(lambda x: self.strategy.run(lambda x: layer(x, training=True), (x,)), autograph=False)
        y = tf.concat(self.strategy.experimental_local_results(run(self._parts(x))), 0).numpy()
        return y, *(parts[0] for parts in self._moving(layer))

    def _fitted(self, make: Make, x: Any, batch: int, rate: float) -> Any:
        with self.strategy.scope():
            model = one_layer(make, rate)
        model.fit(x, x, batch_size=batch, shuffle=False, verbose=0)
        return model

    def _parts(self, batch: Any) -> Any:
        """Equal parts of the rows of each array, one on each replica."""
        if isinstance(batch, tuple):
            return tuple(map(self._parts, batch))
        parts = tf.split(tf.convert_to_tensor(batch), self.replicas)
        place = self.strategy.experimental_distribute_values_from_function
        return place(lambda context: parts[context.replica_id_in_sync_group])

    def _moving(self, layer: Any) -> tuple[Any, Any]:
        return self._local(layer.moving_mean), self._local(layer.moving_variance)

    def _local(self, weight: Any) -> list[Any]:
        return [part.numpy() for part in self.strategy.experimental_local_results(weight.value)]

    def _operations(self, step: Any, x: Any) -> list[Any]:
        run = tf.function(lambda x: self.strategy.run(step, (x,)), autograph=False)
        return run.get_concrete_function(x).graph.get_operations()

    def _collectives(self, operations: list[Any]) -> list[int]:
        """Bytes of those of one replica, in the order of the graph; each stands there once for every replica."""
        found = [_bytes(one) for one in operations if one.type.startswith("Collective")]
        return found[:: self.replicas]


def _bytes(operation: Any) -> int:
    result = operation.outputs[0]
    return int(result.shape.num_elements()) * result.dtype.size
