"""The dense net of the tutorials: one hidden layer, the normalization before or after its activation."""

import keras

from evenbatch.errors import require_count, unknown
from evenbatch.recipes.parts import Normalization, Normalize


def mlp(
    input_shape: tuple[int, ...],
    classes: int,
    normalize: Normalize = True,
    *,
    units: int = 64,
    depth: int = 1,
    placement: str = "before",
) -> keras.Model:
    """Dense, the layer, relu, then softmax; with `placement="after"` Dense with relu, then the layer.

    Args:
        input_shape: Shape of one example, (features,).
        classes: Number of classes.
        normalize: True, False or a function that returns a new layer.
        units: Width of a hidden layer.
        depth: Number of hidden layers.
        placement: "before" or "after" the activation.
    """
    require_count("units", units)
    require_count("depth", depth)
    if placement not in ("before", "after"):
        raise unknown("placement", placement, ["before", "after"])
    norm = Normalization(normalize)
    x = inputs = keras.Input(input_shape)
    for number in range(1, depth + 1):
        dense = keras.layers.Dense(units, use_bias=placement == "after" or not norm, name=f"dense_{number}")
        relu = keras.layers.Activation("relu", name=f"relu_{number}")
        x = norm(relu(dense(x))) if placement == "after" else relu(norm(dense(x)))
    outputs = keras.layers.Dense(classes, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="mlp")
