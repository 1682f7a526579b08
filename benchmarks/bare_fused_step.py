"""What is left to gain in a ResNet-20 step on TensorFlow: ours, Keras', none, and the bare fused op.

The bare op has no guard, no moving statistics and its own gradient: what a layer on top of it can reach at best.
`python benchmarks/bare_fused_step.py`, on TensorFlow.
"""

import sys
from typing import Any

import keras
import tensorflow as tf

import evenbatch as eb
from evenbatch import recipes
from evenbatch.bench import backends
from evenbatch.bench.interleave import interleave
from evenbatch.bench.model_cases import compile_model
from evenbatch.bench.spread import spread
from evenbatch.bench.tensors import CLASSES, labels, values
from evenbatch.surgery.rebuild import rebuild

BATCH, SHAPE, ROUNDS = 128, (32, 32, 3), 15


class BareFused(keras.layers.BatchNormalization):
    """Keras' layer with the fused op and nothing else in training."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=(),
            variance=(),
            epsilon=self.epsilon,
            is_training=True,
        ).y


def bare(layer: Any) -> Any:
    return BareFused(name=layer.name) if isinstance(layer, keras.layers.BatchNormalization) else None


def main() -> None:
    backend = backends.load("tensorflow")
    keras.utils.set_random_seed(0)
    ours = recipes.get("resnet20")(SHAPE, CLASSES)
    networks = {
        "ours": ours,
        "Keras": eb.to_keras(ours, synchronized=False),
        "bare fused op": rebuild(ours, bare).model,
        "without": recipes.get("resnet20")(SHAPE, CLASSES, False),
    }
    x, y = values((BATCH, *SHAPE)), labels(BATCH)
    for model in networks.values():
        compile_model(model, "momentum")
    steps = {name: backend.model_training(model, x, y, "graph") for name, model in networks.items()}
    for name, seconds in interleave(steps, backend.wait, rounds=ROUNDS).items():
        milliseconds = {key: round(1e3 * value) for key, value in spread(seconds).items()}
        sys.stdout.write(f"{name}: {milliseconds} ms\n")


if __name__ == "__main__":
    main()
