"""Initial weights that depend on (seed, layer name, weight name) alone, so that both arms of a pair start alike.

Keras draws them in order of construction: a layer more in one arm would shift every draw after it.
"""

import hashlib
from typing import Any

import numpy as np


def draw(model: Any, seed: int, scale: float = 1.0) -> None:
    """Draws every randomly initialized weight anew, and multiplies it by `scale`.

    Layers of the same name with weights of the same shape start with the same values under the same seed. The states of
    dropout and of other layers with a seed of their own are set in the same way.
    """
    for layer in _layers(model):
        for name, initializer in list(vars(layer).items()):
            if name.endswith("_initializer") and _is_random(initializer):
                variable = getattr(layer, name.removesuffix("_initializer"), None)
                if variable is not None and hasattr(variable, "assign"):
                    values = _with_seed(initializer, _key(seed, layer.name, name))(variable.shape, dtype=variable.dtype)
                    variable.assign(values * scale)
        for number, generator in enumerate(getattr(layer, "_seed_generators", [])):
            state = generator.state
            state.assign(np.array([_key(seed, layer.name, f"generator {number}"), 0], dtype=state.dtype))


def digests(model: Any) -> dict[str, str]:
    """A short digest of each weight, by its path in the model."""
    return {weight.path: hashlib.sha256(_bytes(weight)).hexdigest()[:16] for weight in model.trainable_weights}


def _layers(model: Any) -> list[Any]:
    return list(model._flatten_layers(include_self=False))


def _is_random(initializer: Any) -> bool:
    return hasattr(initializer, "seed") and hasattr(initializer, "get_config")


def _with_seed(initializer: Any, seed: int) -> Any:
    return type(initializer).from_config({**initializer.get_config(), "seed": seed})


def _key(seed: int, *names: str) -> int:
    return int.from_bytes(hashlib.sha256("/".join([str(seed), *names]).encode()).digest()[:4], "big") >> 1


def _bytes(weight: Any) -> bytes:
    import keras

    return bytes(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
