"""Digits on several processes with TensorFlow: each is started by `python on_tensorflow.py` with its own TF_CONFIG."""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
# A convolution of no image has the wrong number of channels with oneDNN, which TensorFlow uses on CPU.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import sys
import zlib

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import evenbatch as eb

# Two workers, each with one device, get 63 and 62 images of a batch. The last batch of an epoch is one image, so the
# second worker gets none.
TRAINED, BATCH, EPOCHS = 1_501, 125, 3
# How many seconds a worker waits for the others before it ends with an error. Without it there is no end.
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


def shares(images, labels, workers, worker):
    """This worker's part of each global batch, and how many images the whole of it has."""
    rng = np.random.default_rng(0)  # the same on every worker: the parts must be those of one batch
    for _ in range(EPOCHS):
        order = rng.permutation(len(images))
        for batch in np.split(order, range(BATCH, len(order), BATCH)):
            mine = np.array_split(batch, workers)[worker]
            yield images[mine], labels[mine], len(batch)


def batches(strategy, images, labels):
    """The shares of this worker as a data set of the strategy."""
    types = (tf.TensorSpec((None, 8, 8, 1), tf.float32), tf.TensorSpec((None,), tf.int64), tf.TensorSpec((), tf.int32))

    def of_worker(context):
        here = context.num_input_pipelines, context.input_pipeline_id
        return tf.data.Dataset.from_generator(lambda: shares(images, labels, *here), output_signature=types)

    return strategy.distribute_datasets_from_function(of_worker)


def train(strategy, model, optimizer, images, labels):
    """Trains as one process would with the global batches."""
    losses = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)

    def step(x, y, images_of_all):
        with tf.GradientTape() as tape:
            # The optimizer adds up the workers' gradients, so each gives its part of the mean over the whole batch.
            loss = tf.reduce_sum(losses(y, model(x, training=True))) / tf.cast(images_of_all, tf.float32)
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)

    @tf.function  # around strategy.run: within it, workers could not exchange statistics
    def step_of_all(x, y, images_of_all):
        strategy.run(step, args=(x, y, images_of_all))

    for batch in batches(strategy, images, labels):
        step_of_all(*batch)


def main(path="model.keras"):
    """Trains, and saves what all workers have."""
    options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=TIMEOUT)
    strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8, 1).astype("float32") / 16
    keras.utils.set_random_seed(0)
    with strategy.scope():  # variables that are made elsewhere belong to one worker alone
        model = network()
        optimizer = keras.optimizers.Adam(0.003)
        optimizer.build(model.trainable_variables)
    train(strategy, model, optimizer, images[:TRAINED], labels[:TRAINED])
    worker = strategy.cluster_resolver.task_id or 0  # None without a TF_CONFIG
    moving = np.concatenate([keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables])
    print(f"process {worker}: moving statistics {zlib.crc32(moving.tobytes()):08x}")
    if worker == 0:  # inference needs no other worker
        logits = keras.ops.convert_to_numpy(model(images[TRAINED:], training=False))
        print(f"accuracy {np.mean(logits.argmax(1) == labels[TRAINED:]):.3f}")
        model.save(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
