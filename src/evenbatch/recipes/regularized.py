"""Batch normalization together with dropout and L2."""

import keras

from evenbatch.errors import require_count, require_share
from evenbatch.recipes.parts import Normalization, Normalize, require_not_negative


def regularized(
    input_shape: tuple[int, ...],
    classes: int,
    normalize: Normalize = True,
    *,
    units: int = 64,
    dropout: float = 0.5,
    l2: float = 0.0,
) -> keras.Model:
    """Twice Dense, the layer, relu, Dropout; then softmax.

    The second layer stands behind a Dropout: in inference the variance of its inputs is smaller than the one it has
    seen in training (Li et al. 2019, https://arxiv.org/abs/1801.05134). The probe `variance_shift` measures by how
    much.

    Args:
        input_shape: Shape of one example, (features,).
        classes: Number of classes.
        normalize: True, False or a function that returns a new layer.
        units: Width of a hidden layer.
        dropout: Share of activations that Dropout sets to zero, in [0, 1).
        l2: Factor of the L2 penalty on the kernels of the hidden layers; 0 for none. Where normalization follows, the
            penalty rescales weights that the layer rescales back: it acts on the effective learning rate.
    """
    require_count("units", units)
    require_share("dropout", dropout)
    require_not_negative("l2", l2)
    norm = Normalization(normalize)
    penalty = keras.regularizers.L2(l2) if l2 > 0 else None
    x = inputs = keras.Input(input_shape)
    for number in (1, 2):
        x = keras.layers.Dense(units, use_bias=not norm, kernel_regularizer=penalty, name=f"dense_{number}")(x)
        x = keras.layers.Activation("relu", name=f"relu_{number}")(norm(x))
        x = keras.layers.Dropout(dropout, name=f"dropout_{number}")(x)
    outputs = keras.layers.Dense(classes, activation="softmax", name="classes")(x)
    return keras.Model(inputs, outputs, name="regularized")
