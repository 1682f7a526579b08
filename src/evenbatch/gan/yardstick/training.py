"""How a judge is trained: the same steps for every data set, from the same seeds.

1,500 steps of 128 images are 3 epochs of MNIST and 20 of 10,000 images: half a minute to a minute a judge, on one
thread. Images are moved by up to a fourteenth of their size, which changes no class and keeps a small data set from
being learnt by heart.
"""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from evenbatch.datasets import Dataset, Part
from evenbatch.gan.yardstick.judge import Array, Classifier, Judge, jitted
from evenbatch.gan.yardstick.network import network

STEPS = 1_500
BATCH = 128
LEARNING_RATE = 2e-3
SEED, CROSS_SEED = 1, 2

OnStep = Callable[[int, int], object]
"""Told after every step how many are done, of how many."""


def train_judge(dataset: Dataset, on_step: OnStep | None = None) -> Judge:
    """Trains both classifiers on the training part, and tells their accuracy on the validation part.

    The same data, backend and number of threads give the same judge.
    """

    def told(before: int) -> OnStep:
        return lambda done, steps: on_step and on_step(before + done, 2 * steps)

    main = train_classifier(dataset, normalized=True, seed=SEED, on_step=told(0))
    cross = train_classifier(dataset, normalized=False, seed=CROSS_SEED, on_step=told(STEPS))
    return Judge(main, cross)


def train_classifier(dataset: Dataset, *, normalized: bool, seed: int, on_step: OnStep) -> Classifier:
    """Trains one classifier by Adam, whose learning rate falls to zero along a cosine."""
    net = network(dataset.input_shape, dataset.classes, normalized=normalized)
    rng = np.random.default_rng(seed)
    net.set_weights([_initial(weight, rng) for weight in net.get_weights()])
    trained = keras.Model(net.input, net.output[1], name="trained")
    trained.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jitted(),
    )
    order = np.empty(0, dtype="int64")
    for step in range(STEPS):
        while len(order) < BATCH:
            order = np.concatenate([order, rng.permutation(len(dataset.train))])
        chosen, order = order[:BATCH], order[BATCH:]
        trained.train_on_batch(moved(dataset.train.x[chosen], rng), dataset.train.y[chosen])
        on_step(step + 1, STEPS)
    weights = tuple(np.array(weight) for weight in net.get_weights())
    classifier = Classifier(dataset.input_shape, dataset.classes, normalized, weights, float("nan"))
    return replace(classifier, accuracy=_accuracy(classifier, dataset.val))


def _initial(weight: Array, rng: np.random.Generator) -> Array:
    """Kernels as He et al. 2015 draw them, drawn by NumPy: the same on every backend. The rest as it is."""
    if weight.ndim < 2:
        return weight
    deviation = np.sqrt(2 / np.prod(weight.shape[:-1]))
    return np.asarray(rng.normal(0, deviation, weight.shape), dtype="float32")


def moved(images: Array, rng: np.random.Generator) -> Array:
    """Each image moved by its own few pixels; its edge fills what is left free."""
    n, height, width = images.shape[:3]
    most = min(height, width) // 14
    rows = np.clip(np.arange(height) + rng.integers(-most, most + 1, (n, 1)), 0, height - 1)
    columns = np.clip(np.arange(width) + rng.integers(-most, most + 1, (n, 1)), 0, width - 1)
    return np.asarray(images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]])


def _accuracy(classifier: Classifier, part: Part) -> float:
    return float((classifier.outputs(part.x)[1].argmax(axis=1) == part.y).mean())
