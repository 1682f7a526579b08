"""A user's own network, made ready to train or refused in one sentence."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from evenbatch.datasets import Dataset
from evenbatch.errors import InvalidArgument


def built(model: Any, dataset: Dataset) -> Any:
    """The model with all of its variables: one that is built at its first call is called on one example.

    Raises:
        InvalidArgument: it is no Keras model.
    """
    import keras

    if not isinstance(model, keras.Model):
        raise InvalidArgument(f"recipe must return a Keras model, received {type(model).__name__}")
    if not model.built or not model.weights:
        model(dataset.train.x[:1])
    return model


def check(build: Callable[..., Any], arm: str, normalize: Any, dataset: Dataset) -> None:
    """Builds an arm of a user's own once and refuses what could only fail, or mislead, after training.

    A function that raises is left alone: its trials are recorded as failed, and the other arms go on.

    Raises:
        InvalidArgument: what it returns is no model, gives no probabilities, or cannot be saved.
    """
    try:
        returned = build(dataset.input_shape, dataset.classes, normalize)
        model = built(returned, dataset)
        outputs = _outputs(model, dataset.train.x[:4])
    except InvalidArgument:
        raise
    except Exception:
        return
    rows = min(4, len(dataset.train))
    if outputs.shape != (rows, dataset.classes):
        raise InvalidArgument(
            f"the network of arm {arm!r} must give a probability for each of the {dataset.classes} classes, of shape "
            f"(n, {dataset.classes}), received shape (n, {', '.join(map(str, outputs.shape[1:]))})"
        )
    if np.isfinite(outputs).all() and (outputs.min() < 0 or np.abs(outputs.sum(axis=1) - 1).max() > 1e-2):
        raise InvalidArgument(
            f"the network of arm {arm!r} must give probabilities, at least 0 and with a sum of 1, received rows with "
            f"sums {outputs.sum(axis=1).min():.3g} to {outputs.sum(axis=1).max():.3g}; end it with activation='softmax'"
        )
    _require_savable(model, arm)


def _outputs(model: Any, x: Any) -> Any:
    import keras

    return keras.ops.convert_to_numpy(model(x, training=False))


def _require_savable(model: Any, arm: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            model.save(Path(folder) / "model.keras")
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise InvalidArgument(
                f"the network of arm {arm!r} cannot be saved ({reason}); register it with "
                "@keras.saving.register_keras_serializable() and give it get_config()"
            ) from error
