"""Whole models: with our layer, with Keras', and, where a recipe has it, without normalization."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from evenbatch import recipes, surgery
from evenbatch.bench.backends import Backend
from evenbatch.bench.interleave import Call
from evenbatch.bench.plan import Shape
from evenbatch.bench.tensors import CLASSES, labels, policy, values

_SHAPES = {"vector": (784,), "image": (32, 32, 3)}
_MOBILENET_SHAPE = (96, 96, 3)

# Small enough that no arm leaves its initial weights, whose values are the same for all.
_LEARNING_RATE = 1e-6


def batch_size(name: str) -> int:
    """Examples in a batch."""
    return 32 if name == "mobilenet_v2" else 128


def model_arms(backend: Backend, name: str, dtype: str, mode: str) -> dict[str, dict[str, Call]]:
    """What is timed in training and in inference, by arm."""
    with _computing_in(dtype):
        networks = _networks(name)
    x = values((batch_size(name), *next(iter(networks.values())).input_shape[1:]))
    y = labels(batch_size(name))
    for model in networks.values():
        compile_model(model, recipes.CLASSIFIERS[name].optimizer if name in recipes.CLASSIFIERS else "momentum")
    return {
        "training": {arm: backend.model_training(model, x, y, mode) for arm, model in networks.items()},
        "inference": {arm: backend.inference(model, x, mode) for arm, model in networks.items()},
    }


def compile_model(model: keras.Model, optimizer: recipes.Optimizer) -> None:
    """Makes the model ready for a step of that optimizer, whose state is there before the first one."""
    made = {
        "sgd": lambda: keras.optimizers.SGD(_LEARNING_RATE),
        "momentum": lambda: keras.optimizers.SGD(_LEARNING_RATE, momentum=0.9),
        "adam": lambda: keras.optimizers.Adam(_LEARNING_RATE),
    }[optimizer]()
    model.compile(made, "sparse_categorical_crossentropy")
    model.optimizer.build(model.trainable_variables)


def _networks(name: str) -> dict[str, keras.Model]:
    keras.utils.set_random_seed(0)
    if name == "mobilenet_v2":
        theirs = keras.applications.MobileNetV2(weights=None, input_shape=_MOBILENET_SHAPE, classes=CLASSES)
        return {"ours": surgery.upgrade(theirs), "keras": theirs}
    recipe = recipes.get(name)
    shape: Shape = _SHAPES[recipe.inputs]
    ours, without = recipe(shape, CLASSES), recipe(shape, CLASSES, False)
    _copy_kernels(ours, without)
    return {"ours": ours, "keras": surgery.to_keras(ours, synchronized=False), "without": without}


def _copy_kernels(source: keras.Model, target: keras.Model) -> None:
    """The same weights in layers of the same name; what only one of them has, such as a bias, stays."""
    found = {weight.path: weight for weight in source.weights}
    for weight in target.weights:
        if weight.path in found:
            weight.assign(found[weight.path])


@contextmanager
def _computing_in(dtype: str) -> Iterator[None]:
    """Layers made inside compute in that type."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy(dtype))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
