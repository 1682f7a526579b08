"""A user's own model, before and after `upgrade`."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from evenbatch import model_files, surgery
from evenbatch.bench.backends import Backend
from evenbatch.bench.interleave import Call
from evenbatch.bench.plan import FileCase
from evenbatch.errors import UnsupportedModel
from evenbatch.sites import sites
from evenbatch.surgery.probe import probe_inputs

_LEARNING_RATE = 1e-6  # small enough that no arm leaves the weights of the file


def load(case: FileCase) -> Any:
    """The model in the file.

    Raises:
        InvalidArgument, StorageError, UnsupportedModel: it cannot be read.
    """
    model_files.import_modules(case.modules)
    return model_files.read(Path(case.path), unsafe=case.unsafe)


def file_arms(backend: Backend, case: FileCase, mode: str) -> tuple[int, dict[str, dict[str, Call]]]:
    """Examples in a batch, and what is timed in training and in inference, by arm."""
    given = load(case)
    models = {arm: with_layer(given, arm, case) for arm in ("ours", "keras")}
    x, y = batch(given, case, case.batch_size)
    return keras.tree.flatten(x)[0].shape[0], {
        "training": {arm: backend.model_training(model, x, y, mode) for arm, model in models.items()},
        "inference": {arm: backend.inference(model, x, mode) for arm, model in models.items()},
    }


def with_layer(model: Any, arm: str, case: FileCase) -> Any:
    """The model with our layers or with Keras', ready for a step of its own optimizer (else of momentum).

    The loss is the mean square of the outputs, since nobody knows what the model's own takes as labels.

    Raises:
        UnsupportedModel: there is no batch normalization in it, or it has a compile() of its own.
    """
    if type(model).compile is not keras.Model.compile:
        raise UnsupportedModel(
            f"{case.path}: {type(model).__name__} has a compile() and steps of its own, which cannot be timed from here"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for one of the arms it is right that there is nothing to exchange
        new = surgery.upgrade(model) if arm == "ours" else surgery.to_keras(model, synchronized=False)
    if not any(isinstance(site.layer, keras.layers.BatchNormalization) for site in sites(new)):
        raise UnsupportedModel(f"{case.path} holds no batch normalization, so there is nothing to compare")
    optimizer = new.optimizer if new.compiled else keras.optimizers.SGD(momentum=0.9)
    with suppress(TypeError, AttributeError):  # a schedule stays, and so do optimizers of several
        getattr(optimizer, "inner_optimizer", optimizer).learning_rate = _LEARNING_RATE
    new.compile(optimizer, "mse")
    if not optimizer.built:
        optimizer.build(new.trainable_variables)
    return new


def batch(model: Any, case: FileCase, size: int) -> tuple[Any, Any]:
    """Random inputs, and zeros in the shape of the outputs.

    Raises:
        UnsupportedModel: no made-up inputs fit, or there is no gradient.
    """
    x, y = probe_inputs(model, size)
    if x is None:
        raise UnsupportedModel(f"{case.path} takes no inputs that could be made up, such as numbers or images")
    dtypes = [keras.backend.standardize_dtype(one.dtype) for one in keras.tree.flatten(y)]
    if not all(map(keras.backend.is_float_dtype, dtypes)):
        raise UnsupportedModel(f"{case.path} gives outputs that are no floating-point numbers, which have no gradient")
    return x, keras.tree.map_structure(keras.ops.zeros_like, y)
