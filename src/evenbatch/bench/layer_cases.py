"""One layer by itself: ours, Keras', and the framework's bare op."""

import keras

from evenbatch.bench.backends import Backend
from evenbatch.bench.interleave import Call
from evenbatch.bench.plan import Shape
from evenbatch.bench.tensors import policy, values
from evenbatch.layers import BatchNormalization

_LAYERS = {"ours": BatchNormalization, "keras": keras.layers.BatchNormalization}


def layer_arms(backend: Backend, shape: Shape, dtype: str, mode: str) -> dict[str, dict[str, Call]]:
    """What is timed in training and in inference, by arm."""
    x, upstream = values(shape, dtype), values(shape, dtype, seed=1)
    training: dict[str, Call | None] = {}
    inference: dict[str, Call | None] = {}
    for name, layer_class in _LAYERS.items():
        layer = layer_class(dtype=policy(dtype))
        layer.build(shape)
        training[name] = backend.layer_training(layer, x, upstream, mode)
        inference[name] = backend.inference(layer, x, mode)
    training["native"] = backend.native_training(x, upstream, mode)
    inference["native"] = backend.native_inference(x, mode)
    return {"training": _existing(training), "inference": _existing(inference)}


def _existing(arms: dict[str, Call | None]) -> dict[str, Call]:
    return {name: call for name, call in arms.items() if call is not None}
