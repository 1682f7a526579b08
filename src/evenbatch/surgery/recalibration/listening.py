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
from evenbatch.layers import ConditionalBatchNormalization
from evenbatch.surgery.recalibration.population import Population
from evenbatch.surgery.recalibration.targets import below

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
        called: How often each layer has been called, in the order of the first calls.
        deaf: A layer whose values could not be seen, where there was one.
    """

    def __init__(self, told: Told) -> None:
        self.on: Collection[int] = ()
        self.gives: Gives = "inference"
        self.called: dict[int, int] = {}
        self.deaf: Any = None
        self._told = told

    def call_of(self, layer: Any) -> Callable[..., Any]:
        """What takes the place of the layer's `call`."""
        plain = layer.call
        takes_training = "training" in inspect.signature(plain).parameters

        def call(inputs: Any, *args: Any, **keywords: Any) -> Any:
            self.called[id(layer)] = self.called.get(id(layer), 0) + 1
            keywords |= {"training": False} if takes_training else {}
            if id(layer) not in self.on:
                return plain(inputs, *args[1:], **keywords)
            batch = _statistics(layer, inputs, keywords.get("mask", args[1] if len(args) > 1 else None))
            self._tell(layer, batch)
            if self.gives == "nothing":
                return _first(layer, inputs)
            moments = [(layer.moving_mean, batch.mean), (layer.moving_variance, batch.variance)]
            with keras.StatelessScope(state_mapping=moments if self.gives == "its own moments" else ()):
                return plain(inputs, *args[1:], **keywords)

        return call

    def _tell(self, layer: Any, batch: kernels.Statistics) -> None:
        try:
            count, mean, variance = (np.asarray(_numbers(one), np.float64) for one in batch)
        except Exception:  # each framework says in its own way that within a trace there are no numbers
            self.deaf = layer
            raise
        self._told(layer, Population(float(count), mean, variance * float(count)))


@contextmanager
def listening(layers: Sequence[Any], every: Sequence[Any], told: Told) -> Iterator[Ears]:
    """Within, normalizations compute as in inference, and tell what they are given where their ears are on.

    Args:
        layers: The normalizations.
        every: Every layer of the model. None is rematerialized, which would hide the values on JAX, and recurrent ones
            are unrolled: their loops would hide them too, or call a cell once more at the first step.
        told: Is told.
    """
    ears = Ears(told)
    loops = [layer for layer in every if isinstance(layer, keras.layers.RNN)]
    unrolled = [layer.unroll for layer in loops]
    try:
        for layer in every:  # past Keras' account of what a layer holds
            vars(layer)["rematerialized_call"] = _as_it_is
        for layer in loops:
            layer.unroll = layer.unroll or not {id(one) for one in below(layer)}.isdisjoint(map(id, layers))
        for layer in layers:
            vars(layer)["call"] = ears.call_of(layer)
        yield ears
    finally:
        for layer in every:
            vars(layer).pop("rematerialized_call", None)
            vars(layer).pop("call", None)
        for layer, before in zip(loops, unrolled, strict=True):
            layer.unroll = before


def _as_it_is(layer_call: Any, *_: Any, **__: Any) -> Any:
    return layer_call


def _first(layer: Any, inputs: Any) -> Any:
    """What is normalized; the other input of a conditional layer are labels."""
    return inputs[0] if isinstance(layer, ConditionalBatchNormalization) else inputs


def _statistics(layer: Any, inputs: Any, mask: Any) -> kernels.Statistics:
    x, mask = _first(layer, inputs), mask[0] if isinstance(mask, list | tuple) else mask
    x = x if keras.backend.is_float_dtype(x.dtype) else keras.ops.cast(x, "float32")
    found = kernels.moments(x, layer.axis) if mask is None else kernels.masked_moments(x, mask, layer.axis)
    return kernels.Statistics(*found)


def _numbers(value: Any) -> Any:
    return keras.ops.convert_to_numpy(value) if keras.ops.is_tensor(value) else value
