"""Digits on several processes with JAX: `python on_jax.py localhost:1234 2 0` and the same with 1 are two of them."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import sys
import zlib

import jax
import keras
import numpy as np
from sklearn.datasets import load_digits

import evenbatch as eb

# JAX cuts a batch into equal parts only: a batch must divide by the number of devices, and what is left over is left.
TRAINED, BATCH, EPOCHS = 1_500, 100, 3
# After how many seconds without a sign of life from one process the others end.
TIMEOUT = 60


def network():
    """A small convolutional network."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, padding="same", use_bias=False),
            eb.BatchNormalization(momentum=0.9),
            keras.layers.Activation("silu"),
            keras.layers.Conv2D(32, 3, padding="same", strides=2, use_bias=False),
            eb.BatchNormalization(momentum=0.9),
            keras.layers.Activation("silu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )


def shares(images, labels, processes, process):
    """This process' part of each global batch."""
    rng = np.random.default_rng(0)  # the same in every process: the parts must be those of one batch
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for batch in np.split(order, len(order) // BATCH):
            mine = np.split(batch, processes)[process]
            yield images[mine], labels[mine]


def main(coordinator, processes, process, path="model.keras"):
    """Trains, and saves what all processes have."""
    processes, process = int(processes), int(process)
    # Before anything else of JAX, and not by keras.distribution.initialize, which has no time-out to set.
    jax.distributed.initialize(coordinator, processes, process, heartbeat_timeout_seconds=TIMEOUT)
    # Before the model is made, whose weights then lie on all devices. Each process cuts its own part of a batch.
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    keras.utils.set_random_seed(0)  # JAX refuses weights that differ among processes
    model = network()
    model.compile(keras.optimizers.Adam(0.003), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    batches = shares(images[:TRAINED], labels[:TRAINED], processes, process)
    model.fit(batches, epochs=EPOCHS, steps_per_epoch=TRAINED // BATCH, shuffle=False, verbose=2)
    moving = np.concatenate([np.asarray(v.value) for v in model.non_trainable_variables])
    print(f"process {process}: moving statistics {zlib.crc32(moving.tobytes()):08x}")
    # Keras makes a variable while it saves. Under the distribution that is an exchange with processes that do not save.
    keras.distribution.set_distribution(None)
    if process == 0:
        model.save(path)
        logits = keras.models.load_model(path).predict(images[TRAINED:], verbose=0)
        print(f"accuracy {np.mean(logits.argmax(1) == labels[TRAINED:]):.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
