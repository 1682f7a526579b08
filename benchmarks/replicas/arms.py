"""The layers that are compared, what they are given, and what is right."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

import evenbatch as eb
from evenbatch import recipes
from evenbatch.bench.model_cases import compile_model
from evenbatch.bench.tensors import CLASSES
from evenbatch.kernels import reference

Make = Callable[..., Any]

ARMS: dict[str, Make] = {
    "ours, synchronized": lambda **given: eb.BatchNormalization(synchronized=True, **given),
    "ours, not": lambda **given: eb.BatchNormalization(synchronized=False, **given),
    "Keras, synchronized": lambda **given: keras.layers.BatchNormalization(synchronized=True, **given),
    "Keras, not": lambda **given: keras.layers.BatchNormalization(synchronized=False, **given),
}
BASE = "Keras, not"

# Of one layer on one replica, in `cost`.
SHAPE = (32, 8, 8, 64)
IMAGE = (32, 32, 3)

# One row a sample; the first half goes to one replica, the second to the other.
DATA = np.array([[0], [2], [100], [104]], "float32")
# In two channels alike, because Keras' layer fails at a mask where there is only one.
MASKED = np.array([[0, 0], [2, 2], [1000, 1000], [100, 100], [104, 104], [1000, 1000]], "float32")
MASK = np.array([True, True, False, True, True, False])
PARTIAL = np.arange(9, dtype="float32")[:, None]


def resnet20(make: Make) -> Any:
    """Compiled, with the same initial weights for every arm."""
    keras.utils.set_random_seed(0)
    model = recipes.get("resnet20")(IMAGE, CLASSES, normalize=make)
    compile_model(model, "momentum")
    return model


def one_layer(make: Make, rate: float, momentum: float = 0.0) -> Any:
    """The layer as a model; with a momentum of 0 its moving statistics are those of the last batch."""
    model = keras.Sequential([keras.Input((1,)), make(momentum=momentum)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model


def far_batch(replicas: int) -> tuple[Any, Any]:
    """Normal values with mean 1e4 and standard deviation 1, and what is right for them."""
    x = (np.random.default_rng(0).normal(size=(1000 * replicas, 8)) + 1e4).astype("float32")
    y, _ = reference.normalize_batch(x.astype("float64"), np.ones(8), np.zeros(8), -1, 1e-3)
    return x, y
