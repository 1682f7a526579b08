"""The net of Ioffe & Szegedy 2015, section 4.1: three hidden layers of 100 sigmoids, small Gaussian weights."""

import keras

from evenbatch.recipes.parts import Normalization, Normalize


def sigmoid(input_shape: tuple[int, ...], classes: int, normalize: Normalize = True) -> keras.Model:
    """Three times Dense(100), the layer, sigmoid; then softmax.

    The paper says "small random Gaussian values" and gives no spread; here it is N(0, 0.05), for which the contrast
    between the arms at the default learning rate is large. It depends on both: without normalization such a net starts
    to learn at higher rates.

    Args:
        input_shape: Shape of one example, (features,).
        classes: Number of classes.
        normalize: True, False or a function that returns a new layer.
    """
    norm = Normalization(normalize)
    x = inputs = keras.Input(input_shape)
    for number in (1, 2, 3):
        dense = keras.layers.Dense(100, use_bias=not norm, kernel_initializer=_small(), name=f"dense_{number}")
        x = keras.layers.Activation("sigmoid", name=f"sigmoid_{number}")(norm(dense(x)))
    outputs = keras.layers.Dense(classes, activation="softmax", kernel_initializer=_small(), name="classes")(x)
    return keras.Model(inputs, outputs, name="sigmoid")


def _small() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=0.05)
