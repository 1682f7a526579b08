"""Layers that are linear in their inputs, and so take a multiplication and an addition in: after them and before them.

`y = W x + b` followed by `s y + t` is `(s W) x + (s b + t)`; `W (s x + t) + b` is `(W s) x + (b + W t)`. What differs
from layer to layer is where in its kernel the channels of inputs and outputs are.
"""

from abc import ABC, abstractmethod
from copy import copy
from typing import Any, Self

import keras
import numpy as np

from evenbatch import layers as ours
from evenbatch.surgery.folding.affine import Affine, Array, affine_of, numbers
from evenbatch.surgery.folding.refusal import Refused
from evenbatch.surgery.twins import made_of_config

kl = keras.layers

_LARGEST = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": 3.3e38}

_REGULARIZED = ("kernel", "bias", "depthwise", "pointwise", "gamma", "beta")


class Linear(ABC):
    """A layer with the affine maps that it has taken in, in float64. It is never changed, but made anew.

    Args:
        layer: A built layer of one of the classes that `linear` knows.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @staticmethod
    @abstractmethod
    def channels(layer: Any, rank: int) -> int:
        """The axis of the channels of a layer's inputs and outputs, of that rank."""

    @abstractmethod
    def followed(self, after: Affine) -> Self:
        """The layer with what comes after it in it.

        Raises:
            Refused: it does not take that in.
        """

    @abstractmethod
    def preceded(self, before: Affine) -> Self:
        """The layer with what comes before it in it.

        Raises:
            Refused: it does not take that in.
        """

    @abstractmethod
    def values(self) -> dict[str, Array]:
        """Its weights, by the names of the variables."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """The arguments in which its twin differs."""

    def twin(self) -> Any:
        """An unbuilt layer of the same kind that has a place for every value.

        Without regularizers and constraints: they were meant for weights that are others now.
        """
        dropped = [f"{name}_{what}" for name in _REGULARIZED for what in ("regularizer", "constraint")]
        own = self.layer.get_config()
        none = {key: None for key in [*dropped, "activity_regularizer"] if key in own}
        return made_of_config(self.layer, **none, **self._settings())

    def _in_range(self) -> Self:
        """The layer itself, where what it computes in holds its weights."""
        largest = max(float(np.abs(value).max(initial=0.0)) for value in self.values().values())
        if not largest < _LARGEST.get(self.layer.compute_dtype, np.inf):
            raise Refused(f"computes in {self.layer.compute_dtype}, and would get a weight of {largest:.0e}")
        return self


class _WithKernel(Linear):
    """A layer with a kernel and a bias."""

    kernel_name = "kernel"

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.kernel = numbers(getattr(layer, self.kernel_name))
        self.bias = numbers(layer.bias) if layer.use_bias else np.zeros(())

    @staticmethod
    def channels(layer: Any, rank: int) -> int:
        return 1 if getattr(layer, "data_format", "") == "channels_first" else rank - 1

    def followed(self, after: Affine) -> Self:
        if self.layer.activation not in (None, keras.activations.linear):
            name = getattr(self.layer.activation, "__name__", type(self.layer.activation).__name__)
            raise Refused(f"applies {name} to what it computes")
        new = copy(self)
        new._scale_outputs(after.scale)
        new.bias = self.bias * after.scale + after.shift
        return new._in_range()

    def preceded(self, before: Affine) -> Self:
        if not before.keeps_zero() and (reason := self._edge()):
            raise Refused(reason)
        new = copy(self)
        if not before.keeps_zero():
            new.bias = self.bias + self._response(before.shift)
        new._scale_inputs(before.scale)
        return new._in_range()

    def values(self) -> dict[str, Array]:
        return {self.kernel_name: self.kernel, "bias": self.bias}

    def _settings(self) -> dict[str, Any]:
        return {"use_bias": True}

    def _edge(self) -> str:
        """Why a constant added to all its inputs is not a constant added to all its outputs; empty where it is."""
        pads = getattr(self.layer, "padding", "valid") != "valid" and any(n > 1 for n in self.layer.kernel_size)
        return f"pads with zeros (padding={self.layer.padding!r}), to which nothing would be added" if pads else ""

    @abstractmethod
    def _scale_outputs(self, scale: Array) -> None: ...

    @abstractmethod
    def _scale_inputs(self, scale: Array) -> None: ...

    @abstractmethod
    def _response(self, constant: Array) -> Array:
        """What it computes, without bias, where every input channel has one value everywhere."""


class _Dense(_WithKernel):
    """A kernel of shape (inputs, outputs)."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        return constant @ self.kernel


class _Convolution(_WithKernel):
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


class _Transposed(_WithKernel):
    """A kernel of shape (*sizes, outputs, inputs)."""

    def _edge(self) -> str:
        return "sums up fewer inputs at its border than within, so that what is added to them would not be a constant"

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale

    def _response(self, constant: Array) -> Array:
        raise NotImplementedError


class _Depthwise(_WithKernel):
    """A kernel of shape (*sizes, inputs, multiplier); the outputs of an input side by side."""

    def _scale_outputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale.reshape(self.kernel.shape[-2:])

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        taps: Array = self.kernel.sum(tuple(range(self.kernel.ndim - 2))) * constant[:, None]
        return taps.reshape(-1)


class _Separable(_WithKernel):
    """A depthwise kernel, and a pointwise one of shape (1, ..., inputs × multiplier, outputs)."""

    kernel_name = "depthwise_kernel"

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.pointwise = numbers(layer.pointwise_kernel)

    def values(self) -> dict[str, Array]:
        return {**super().values(), "pointwise_kernel": self.pointwise}

    def _scale_outputs(self, scale: Array) -> None:
        self.pointwise = self.pointwise * scale

    def _scale_inputs(self, scale: Array) -> None:
        self.kernel = self.kernel * scale[:, None]

    def _response(self, constant: Array) -> Array:
        taps = self.kernel.sum(tuple(range(self.kernel.ndim - 2))) * constant[:, None]
        response: Array = taps.reshape(-1) @ self.pointwise.reshape(self.pointwise.shape[-2:])
        return response


class Normalization(Linear):
    """Another batch normalization, which stays: gamma and beta take in what is around it.

    Attributes:
        affine: What it computes.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.affine = affine_of(layer, layer.path or layer.name)

    @staticmethod
    def channels(layer: Any, rank: int) -> int:
        """The axis that it keeps apart."""
        return int(layer.axis) % rank

    def followed(self, after: Affine) -> Self:
        """It with another map after it."""
        return self._of(after.of(self.affine))

    def preceded(self, before: Affine) -> Self:
        """It with another map before it."""
        return self._of(self.affine.of(before))

    def values(self) -> dict[str, Array]:
        """The gamma and beta that do all of it with the moving statistics as they are."""
        mean = numbers(self.layer.moving_mean)
        deviation = np.sqrt(numbers(self.layer.moving_variance) + float(self.layer.epsilon))
        return {"gamma": self.affine.scale * deviation, "beta": self.affine.shift + mean * self.affine.scale}

    def _settings(self) -> dict[str, Any]:
        return {"scale": True, "center": True}

    def _of(self, affine: Affine) -> Self:
        new = copy(self)
        new.affine = affine
        return new._in_range()


_KINDS: dict[type, type[Linear]] = {
    kl.Dense: _Dense,
    **dict.fromkeys((kl.Conv1D, kl.Conv2D, kl.Conv3D), _Convolution),
    **dict.fromkeys((kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose), _Transposed),
    **dict.fromkeys((kl.DepthwiseConv1D, kl.DepthwiseConv2D), _Depthwise),
    **dict.fromkeys((kl.SeparableConv1D, kl.SeparableConv2D), _Separable),
    **dict.fromkeys((kl.BatchNormalization, ours.BatchNormalization, ours.GhostBatchNormalization), Normalization),
}


def is_linear(layer: Any) -> bool:
    """Whether a layer, but for its activation, is one that takes affine maps in; a subclass has code of its own."""
    return type(layer) in _KINDS


def channels(layer: Any, rank: int) -> int:
    """The axis of the channels of such a layer's inputs and outputs, of that rank."""
    return _KINDS[type(layer)].channels(layer, rank)


def linear(layer: Any) -> Linear:
    """The layer as what it computes.

    Raises:
        Refused: its weights are kept in another form than that of its kernel.
    """
    if getattr(layer, "quantization_mode", None):
        raise Refused(f"is quantized to {layer.quantization_mode}; fold first, then quantize")
    if getattr(layer, "lora_enabled", False):
        raise Refused("has LoRA weights besides its kernel; save and load the model to merge them first")
    return _KINDS[type(layer)](layer)
