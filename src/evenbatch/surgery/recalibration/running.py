"""How a model is run to be listened to: without gradients, without exchanges, and with its loops in Python."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from evenbatch import sharing


@contextmanager
def by_itself() -> Iterator[None]:
    """Within, nothing is recorded for a gradient, and no layer waits for other ranks, which may have fewer batches."""
    with sharing.local_statistics():
        if keras.backend.backend() != "torch":
            yield
            return
        import torch

        with torch.no_grad():
            yield


@contextmanager
def loops_in_python() -> Iterator[None]:
    """Within, what a layer calls in loops and compiled functions is called in Python, with numbers to be seen."""
    name = keras.backend.backend()
    if name == "jax":
        import jax

        with jax.disable_jit():
            yield
        return
    if name != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
