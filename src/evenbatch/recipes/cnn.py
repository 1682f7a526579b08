"""The small convolutional net of the tutorials."""

import keras

from evenbatch.errors import require_count
from evenbatch.recipes.parts import Normalization, Normalize


def cnn(input_shape: tuple[int, ...], classes: int, normalize: Normalize = True, *, filters: int = 32) -> keras.Model:
    """Conv2D(32, 3), the layer, relu, max pooling, softmax.

    Args:
        input_shape: Shape of one image, (height, width, channels), at least 4×4.
        classes: Number of classes.
        normalize: True, False or a function that returns a new layer.
        filters: Number of filters of the convolution.
    """
    require_count("filters", filters)
    norm = Normalization(normalize)
    inputs = keras.Input(input_shape)
    x = norm(keras.layers.Conv2D(filters, 3, use_bias=not norm, name="conv")(inputs))
    x = keras.layers.Activation("relu", name="relu")(x)
    x = keras.layers.Flatten(name="flatten")(keras.layers.MaxPooling2D(name="pool")(x))
    outputs = keras.layers.Dense(classes, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="cnn")
