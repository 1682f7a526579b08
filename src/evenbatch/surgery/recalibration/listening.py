"""What stands before the normalizations of a model while it is run: some tell what values they are given.

Every one computes as in inference, whatever mode the model is called in. It is put before the very layers, so that
classes which make their normalizations themselves need not let them be exchanged.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import keras
import numpy as np

from evenbatch import kernels
from evenbatch.errors import UnsupportedModel
from evenbatch.layers import ConditionalBatchNormalization
from evenbatch.surgery.recalibration.population import Population

Gives = Literal["nothing", "inference", "its own moments"]
"""What a layer that is listened to returns: its inputs as they are, since nobody takes its outputs; its inputs
normalized by its moving statistics, or by the moments of these inputs."""

Told = Callable[[Any, Population], None]
"""Is called with a layer and the values that it was given."""


class Ears:
    """Whose inputs are listened to at the moment.

    Attributes:
        on: The ids of the layers.
        gives: What these return.
        called: The layers that have been called, each once, in this order.
    """

    def __init__(self, told: Told) -> None:
        self.on: Collection[int] = ()
        self.gives: Gives = "inference"
        self.called: dict[int, None] = {}
        self._told = told

    def call_of(self, layer: Any) -> Callable[..., Any]:
        """What takes the place of the layer's `call`."""
        plain = layer.call
        takes_training = "training" in inspect.signature(plain).parameters

        def call(inputs: Any, *args: Any, **keywords: Any) -> Any:
            self.called.setdefault(id(layer))
            keywords |= {"training": False} if takes_training else {}
            if id(layer) not in self.on:
                return plain(inputs, *args[1:], **keywords)
            batch = _statistics(layer, inputs, keywords.get("mask", args[1] if len(args) > 1 else None))
            self._told(layer, _population(layer, batch))
            if self.gives == "nothing":
                return _first(layer, inputs)
            moments = [(layer.moving_mean, batch.mean), (layer.moving_variance, batch.variance)]
            with keras.StatelessScope(state_mapping=moments if self.gives == "its own moments" else ()):
                return plain(inputs, *args[1:], **keywords)

        return call


@contextmanager
def listening(layers: Sequence[Any], told: Told) -> Iterator[Ears]:
    """Within, each of the layers computes as in inference, and tells what it is given where its ear is on."""
    ears = Ears(told)
    try:
        for layer in layers:
            vars(layer)["call"] = ears.call_of(layer)  # past Keras' account of what a layer holds
        yield ears
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def _first(layer: Any, inputs: Any) -> Any:
    """What is normalized; the other input of a conditional layer are labels."""
    return inputs[0] if isinstance(layer, ConditionalBatchNormalization) else inputs


def _statistics(layer: Any, inputs: Any, mask: Any) -> kernels.Statistics:
    x, mask = _first(layer, inputs), mask[0] if isinstance(mask, list | tuple) else mask
    x = x if keras.backend.is_float_dtype(x.dtype) else keras.ops.cast(x, "float32")
    found = kernels.moments(x, layer.axis) if mask is None else kernels.masked_moments(x, mask, layer.axis)
    return kernels.Statistics(*found)


def _population(layer: Any, batch: kernels.Statistics) -> Population:
    try:
        count, mean, variance = (np.asarray(_numbers(one), np.float64) for one in batch)
    except Exception as error:  # each framework says in its own way that within a trace there are no numbers
        raise UnsupportedModel(
            f"{layer.path or layer.name}: the values that this layer is given are hidden in a loop or function that "
            "the backend compiles, so their statistics cannot be taken; call it outside of it"
        ) from error
    return Population(float(count), mean, variance * float(count))


def _numbers(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
