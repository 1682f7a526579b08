"""Which layers are linear in their inputs, and so take a multiplication and an addition in."""

from typing import Any

import keras

from evenbatch import layers as ours
from evenbatch.surgery.folding import kernels
from evenbatch.surgery.folding.normalization import Normalization
from evenbatch.surgery.folding.refusal import Refused
from evenbatch.surgery.folding.taking import Linear

kl = keras.layers

_KINDS: dict[type, type[Linear]] = {
    kl.Dense: kernels.Dense,
    **dict.fromkeys((kl.Conv1D, kl.Conv2D, kl.Conv3D), kernels.Convolution),
    **dict.fromkeys((kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose), kernels.Transposed),
    **dict.fromkeys((kl.DepthwiseConv1D, kl.DepthwiseConv2D), kernels.Depthwise),
    **dict.fromkeys((kl.SeparableConv1D, kl.SeparableConv2D), kernels.Separable),
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
