"""Layers with a kernel and a bias: `y = W x + b`.

Followed by `s y + t` it is `(s W) x + (s b + t)`; of `s x + t` it makes `(W s) x + (b + W t)`. What differs from layer
to layer is where in its kernel the channels of inputs and outputs are.
"""

from abc import abstractmethod
from copy import copy
from typing import Any, Self

import keras
import numpy as np

from evenbatch.surgery.folding.affine import Affine, Array, numbers
from evenbatch.surgery.folding.refusal import Refused
from evenbatch.surgery.folding.taking import Linear


class WithKernel(Linear):
    """A layer with a kernel and a bias."""

    kernel_name = "kernel"

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.kernel = numbers(getattr(layer, self.kernel_name))
        self.bias = numbers(layer.bias) if layer.use_bias else np.zeros(())

    @staticmethod
    def channels(layer: Any, rank: int) -> int:
        """The axis of the channels of inputs and outputs."""
        return 1 if getattr(layer, "data_format", "") == "channels_first" else rank - 1

    def followed(self, after: Affine) -> Self:
        """It with another map after it."""
        if self.layer.activation not in (None, keras.activations.linear):
            name = getattr(self.layer.activation, "__name__", type(self.layer.activation).__name__)
            raise Refused(f"applies {name} to what it computes")
        new = copy(self)
        new._scale_outputs(after.scale)
        new.bias = self.bias * after.scale + after.shift
        return new._in_range()

    def preceded(self, before: Affine) -> Self:
        """It with another map before it."""
        new = copy(self)
        if not before.keeps_zero():
            new.bias = self.bias + self._response(before.shift)
            self._require_no_padding()
        new._scale_inputs(before.scale)
        return new._in_range()

    def values(self) -> dict[str, Array]:
        """Its kernel and bias."""
        return {self.kernel_name: self.kernel, "bias": self.bias}

    def _settings(self) -> dict[str, Any]:
        return {"use_bias": True}

    def _require_no_padding(self) -> None:
        if getattr(self.layer, "padding", "valid") != "valid" and any(n > 1 for n in self.layer.kernel_size):
            raise Refused(f"pads with zeros (padding={self.layer.padding!r}), to which nothing would be added")

    @abstractmethod
    def _scale_outputs(self, scale: Array) -> None: ...

    @abstractmethod
    def _scale_inputs(self, scale: Array) -> None: ...

    @abstractmethod
    def _response(self, constant: Array) -> Array:
        """What it computes, without bias, where every input channel has one value everywhere.

        Raises:
            Refused: that is not one value a channel.
        """


class Dense(WithKernel):
    """A kernel of shape (inputs, outputs)."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        return constant @ self.kernel


class Convolution(WithKernel):
    """A kernel of shape (*sizes, inputs of a group, outputs), the outputs of a group side by side."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * self._by_group(scale)

    def _response(self, constant: Array) -> Array:
        total: Array = (self.kernel * self._by_group(constant)).sum(tuple(range(self.kernel.ndim - 1)))
        return total

    def _by_group(self, channels: Array) -> Array:
        """Of each output the channels of the inputs that it sees, shape (inputs of a group, outputs)."""
        rows = channels.reshape(self.layer.groups, -1)
        return np.repeat(rows, self.kernel.shape[-1] // self.layer.groups, axis=0).T


class Transposed(WithKernel):
    """A kernel of shape (*sizes, outputs, inputs)."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale

    def _response(self, constant: Array) -> Array:
        raise Refused(
            "sums up fewer inputs at its border than within, so that what is added to them would not be a constant"
        )


class Depthwise(WithKernel):
    """A kernel of shape (*sizes, inputs, multiplier); the outputs of an input side by side."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale.reshape(self.kernel.shape[-2:])

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        taps: Array = self.kernel.sum(tuple(range(self.kernel.ndim - 2))) * constant[:, None]
        return taps.reshape(-1)


class Separable(WithKernel):
    """A depthwise kernel, and a pointwise one of shape (1, ..., inputs × multiplier, outputs)."""

    kernel_name = "depthwise_kernel"

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.pointwise = numbers(layer.pointwise_kernel)

    def values(self) -> dict[str, Array]:
        """Its two kernels and its bias."""
        return {**super().values(), "pointwise_kernel": self.pointwise}

    def _scale_outputs(self, scale: Array) -> None:
        self.pointwise = self.pointwise * scale

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        taps = self.kernel.sum(tuple(range(self.kernel.ndim - 2))) * constant[:, None]
        response: Array = taps.reshape(-1) @ self.pointwise.reshape(self.pointwise.shape[-2:])
        return response
