"""What Keras' `fit` and loops of the user's own do under `MirroredStrategy`; prints JSON."""

import json
import sys
import tempfile
import threading
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import evenbatch as eb
from evenbatch.errors import SharingFailed

rng = np.random.default_rng(3)
ROWS = rng.normal(size=(9, 4)).astype("float32") + np.arange(9, dtype="float32")[:, None]
TARGETS = rng.normal(size=(9, 1)).astype("float32")
found = {}


def network(**arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((4,)), eb.BatchNormalization(momentum=0.5, **arguments), keras.layers.Dense(1)]
    )
    # Keras takes the mean of the replicas' mean losses, whatever their shares of the rows; a sum knows no shares.
    model.compile(keras.optimizers.SGD(0.01), keras.losses.MeanSquaredError(reduction="sum"))
    return model


def weights(model):
    return {w.path.split("/")[-1]: keras.ops.convert_to_numpy(w).tolist() for w in model.layers[0].weights}


def main(replicas):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(replicas)])
    rows = tf.data.Dataset.from_tensor_slices((ROWS, TARGETS)).batch(8)  # of 9, so the last step has 1 + 0
    for name, arguments in {"shared": {}, "unsynchronized": {"synchronized": False}}.items():
        alone = network()
        alone.fit(rows, epochs=2, verbose=0)
        with strategy.scope():
            model = network(**arguments)
        model.fit(rows, epochs=2, verbose=0)
        moving = model.layers[0].moving_mean.value, model.layers[0].moving_variance.value
        found[name] = {
            "one device": weights(alone),
            "replicas": weights(model),
            "each": [[part.numpy().tolist() for part in strategy.experimental_local_results(one)] for one in moving],
            "saved": saved(model),
        }
    found["a compiled function in the way"] = refused(strategy, tf.function(lambda layer, x: layer(x, training=True)))
    found["a condition in the way"] = refused(strategy, conditional)
    found["alone"] = alone_in_a_strategy(strategy)
    found["beside a probe"] = beside_a_probe(strategy)
    print("FOUND" + json.dumps(found))


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model.keras")
        return weights(keras.models.load_model(Path(folder) / "model.keras"))


@tf.function
def conditional(layer, x):
    return tf.cond(tf.reduce_sum(x) < 1e9, lambda: layer(x, training=True), lambda: x)


def refused(strategy, function):
    with strategy.scope():
        layer = eb.BatchNormalization()
        layer.build((None, 4))

    def replica():
        return function(layer, tf.constant(ROWS))

    def inner():  # so that the function is not the one that the strategy itself unwraps
        return replica()

    try:
        strategy.run(inner)
    except SharingFailed as error:
        return str(error)
    return "nothing"


def beside_a_probe(strategy):
    """The same where another thread, which has nothing to do with the strategy, is in a block."""
    entered, done = threading.Event(), threading.Event()

    def probe():
        with eb.local_statistics():
            entered.set()
            done.wait()

    thread = threading.Thread(target=probe)
    thread.start()
    entered.wait()
    try:
        return moving_means(strategy)
    finally:
        done.set()
        thread.join()


def alone_in_a_strategy(strategy):
    """Moving means of both replicas after a step in which each took its own statistics."""
    with eb.local_statistics():
        return moving_means(strategy)


def moving_means(strategy):
    with strategy.scope():
        layer = eb.BatchNormalization(momentum=0.0)
        layer.build((None, 4))

    def replica():
        i = tf.distribute.get_replica_context().replica_id_in_sync_group
        return layer(tf.constant(ROWS) + tf.cast(i, tf.float32), training=True)

    strategy.run(replica)
    return [part.numpy().tolist() for part in strategy.experimental_local_results(layer.moving_mean.value)]


main(int(sys.argv[1]))
