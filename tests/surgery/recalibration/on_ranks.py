"""`on_ranks.py RANKS RANK PORT,... FILE`: one of several processes that recalibrate a model on examples of their own.

The first has uneven batches, the last has none at all. Each saves what it found;
on PyTorch the first also what it finds by itself, where elsewhere making a model takes all processes.
"""

import json
import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

RANKS, RANK = int(sys.argv[1]), int(sys.argv[2])
PORTS, PATH = sys.argv[3].split(","), sys.argv[4]
BACKEND = os.environ["KERAS_BACKEND"]
if BACKEND == "tensorflow" and RANKS > 1:
    workers = {
        "cluster": {"worker": [f"localhost:{port}" for port in PORTS]},
        "task": {"type": "worker", "index": RANK},
    }
    os.environ["TF_CONFIG"] = json.dumps(workers)

import numpy as np  # noqa: E402 - TensorFlow reads where it is when it is loaded

STRATEGY: Any = None


def scope() -> Any:
    """Meets the other processes; within, the model is made."""
    if RANKS == 1:
        return nullcontext()
    if BACKEND == "torch":
        import torch.distributed as dist

        store = f"tcp://localhost:{PORTS[0]}"
        dist.init_process_group("gloo", store, timedelta(seconds=60), rank=RANK, world_size=RANKS)
        return nullcontext()
    if BACKEND == "jax":
        import jax
        import keras

        jax.distributed.initialize(f"localhost:{PORTS[0]}", RANKS, RANK)
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
        return nullcontext()
    global STRATEGY
    import tensorflow as tf

    STRATEGY = tf.distribute.MultiWorkerMirroredStrategy()
    return STRATEGY.scope()


def network() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    inputs = x = keras.Input((5,))
    for i in range(3):
        x = keras.layers.Dense(6)(x)
        x = keras.layers.Activation("tanh")(keras.layers.BatchNormalization(name=f"norm_{i}")(x))
    return keras.Model(inputs, x)


def batches() -> list[Any]:
    """The batches of this process."""
    x = np.random.default_rng(0).normal(3, 2, (60, 5)).astype("float32")
    return [[x[:1], x[1:20]], [x[20:60]], []][RANK] if RANKS > 1 else [x]


def main() -> None:
    with scope():
        model = network()
    import evenbatch as eb

    found = {"all": eb.recalibrate(model, batches(), verbose=False).get_weights()}
    if RANK == 0 and BACKEND == "torch":
        with eb.local_statistics():
            found["own"] = eb.recalibrate(model, batches()[-1], verbose=False).get_weights()
    np.savez(PATH, **{f"{name}/{i}": weight for name, weights in found.items() for i, weight in enumerate(weights)})
    _meet_again()
    os._exit(0)


def _meet_again() -> None:
    """No process ends while another still needs it."""
    from evenbatch import sharing

    sharing.rows_of_all_processes(np.zeros(1), STRATEGY)


if __name__ == "__main__":
    main()
