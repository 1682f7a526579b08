"""A model with another batch normalization layer, otherwise the same."""

import inspect
from typing import Any

import keras

# What every version of the layer understands. Which replicas share statistics is left to each layer's default.
_KEYS = {*inspect.signature(keras.layers.BatchNormalization).parameters, "name", "trainable", "dtype"} - {
    "synchronized"
}


def exchanged(model: keras.Model, layer_class: type[keras.layers.Layer]) -> keras.Model:
    """A copy with the same weights, in which every batch normalization layer is of that class.

    Args:
        model: A functional model.
        layer_class: `keras.layers.BatchNormalization` or a subclass.
    """

    def clone(layer: Any) -> Any:
        if not isinstance(layer, keras.layers.BatchNormalization):
            return type(layer).from_config(layer.get_config())
        return layer_class.from_config({key: value for key, value in layer.get_config().items() if key in _KEYS})

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin
