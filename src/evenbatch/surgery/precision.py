"""Full float32, where a GPU would take fewer bits for products of matrices and for convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def full_precision() -> Iterator[None]:
    """Within, float32 is computed in float32: by TensorFloat-32, the default of GPUs, two equal models differ."""
    with {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}[keras.backend.backend()]():
        yield


@contextmanager
def _on_tensorflow() -> Iterator[None]:
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@contextmanager
def _on_jax() -> Iterator[None]:
    import jax

    with jax.default_matmul_precision("highest"):
        yield


@contextmanager
def _on_torch() -> Iterator[None]:
    import torch

    places = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [place.allow_tf32 for place in places]
    try:
        for place in places:
            place.allow_tf32 = False
        yield
    finally:
        for place, allowed in zip(places, before, strict=True):
            place.allow_tf32 = allowed
