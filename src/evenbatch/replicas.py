"""Who shares statistics: the replicas that the framework itself can tell of.

One replica pays nothing: with a count of one, the layer takes its statistics as if no other device existed.
"""

import sys

import keras


def count() -> int:
    """How many replicas see a part of the same global batch, 1 outside of a distributed run.

    On JAX always 1: under `jit` and sharding a batch's statistics are those of the global batch already.
    """
    name = keras.backend.backend()
    if name == "tensorflow":
        return _tensorflow()
    return _torch() if name == "torch" else 1


def _tensorflow() -> int:
    import tensorflow as tf

    return int(tf.distribute.get_strategy().num_replicas_in_sync)


def _torch() -> int:
    # Not imported for its own sake: a process group exists only where somebody has imported it already.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return int(distributed.get_world_size())
