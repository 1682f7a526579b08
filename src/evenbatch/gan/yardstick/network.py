"""The small classifier by whose features images are compared: one architecture, with normalization and without.

Three convolutions of stride 2, a dense layer of 64 features, the classes. Two things are chosen for the comparing and
not for the classifying. The features are taken before their activation, so that none is dead and each has a spread. And
the activation leaks: behind a plain ReLU, units that real images leave at zero stay silent for what is no real image,
and without normalization uniform noise then came out nearer to MNIST (164) than its own blurred digits (367).
"""

from typing import Any

import keras

from evenbatch.layers import BatchNormalization

ARCHITECTURE = "1"
"""Counts up with every change of the network or of its training: judges of another number are other judges."""

FEATURES = 64
WIDTHS = (16, 32, 64)
SLOPE = 0.1


def network(shape: tuple[int, ...], classes: int, *, normalized: bool) -> Any:
    """A new network, all kernels zero: images (n, *shape) in, features (n, 64) and logits (n, classes) out.

    Nothing of it depends on Keras' settings of this process, and making it draws no random number and counts no name
    up, so that a training that goes on beside it stays the same.
    """
    x = images = keras.Input(shape, name="images", dtype="float32")
    for number, width in enumerate(WIDTHS, 1):
        settings = {"strides": 2, "padding": "same", "data_format": "channels_last", **_without_randomness(normalized)}
        x = keras.layers.Conv2D(width, 3, name=f"conv_{number}", **settings)(x)
        x = _leaky(f"leaky_{number}")(_norm(f"norm_{number}")(x) if normalized else x)
    x = keras.layers.Flatten(data_format="channels_last", name="flat", dtype="float32")(x)
    x = keras.layers.Dense(FEATURES, name="dense", **_without_randomness(normalized))(x)
    features = _norm("norm_features")(x) if normalized else x
    logits = keras.layers.Dense(classes, name="classes", **_without_randomness(False))(_leaky("leaky")(features))
    return keras.Model(images, [features, logits], name="judge")


def _without_randomness(normalized: bool) -> dict[str, Any]:
    return {"use_bias": not normalized, "kernel_initializer": "zeros", "dtype": "float32"}


def _norm(name: str) -> Any:
    # One process trains a judge by itself, whatever group of replicas it belongs to.
    return BatchNormalization(momentum=0.95, synchronized=False, name=name, dtype="float32")


def _leaky(name: str) -> Any:
    return keras.layers.LeakyReLU(negative_slope=SLOPE, name=name, dtype="float32")
