"""What Keras' `fit` does under `keras.distribution.DataParallel`; prints JSON."""

import json
import sys

import jax
import keras
import numpy as np

import evenbatch as eb

jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
rng = np.random.default_rng(3)
ROWS = rng.normal(size=(16, 4)).astype("float32") + np.arange(16, dtype="float32")[:, None]
TARGETS = rng.normal(size=(16, 1)).astype("float32")


def trained(synchronized):
    keras.utils.set_random_seed(1)
    layer = eb.BatchNormalization(momentum=0.5, synchronized=synchronized)
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    model.fit(ROWS, TARGETS, batch_size=8, epochs=2, verbose=0)
    return {w.path.split("/")[-1]: np.asarray(w.value).tolist() for w in layer.weights}


found = {"one device": trained(True)}
with keras.distribution.DataParallel(devices=jax.devices()).scope():
    found |= {"shared": trained(True), "unsynchronized": trained(False)}
print("FOUND" + json.dumps(found))
