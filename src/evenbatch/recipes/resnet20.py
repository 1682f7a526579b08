"""The residual net of 20 layers for small images (He et al. 2015, section 4.2, https://arxiv.org/abs/1512.03385)."""

from typing import Any

import keras

from evenbatch.recipes.parts import Normalization, Normalize, require_not_negative


def resnet20(
    input_shape: tuple[int, ...], classes: int, normalize: Normalize = True, *, l2: float = 1e-4
) -> keras.Model:
    """Three stages of three residual blocks with 16, 32 and 64 filters, then the mean over the image and softmax.

    Where a stage begins with fewer filters and a stride, the shortcut is a 1×1 convolution (the paper's option B; 2,560
    weights more than its option A).

    Args:
        input_shape: Shape of one image, (height, width, channels), at least 4×4.
        classes: Number of classes.
        normalize: True, False or a function that returns a new layer.
        l2: Factor of the L2 penalty on the kernels; 1e-4 as in the paper, 0 for none.
    """
    require_not_negative("l2", l2)
    net = _Net(Normalization(normalize), keras.regularizers.L2(l2) if l2 > 0 else None)
    inputs = keras.Input(input_shape)
    x = net.relu(net.convolution(inputs, 16, 3, 1, "stem"), "stem")
    for stage, filters in enumerate((16, 32, 64), start=1):
        for block in (1, 2, 3):
            x = net.residual(x, filters, 2 if stage > 1 and block == 1 else 1, f"stage{stage}_block{block}")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    outputs = keras.layers.Dense(classes, activation="softmax", kernel_regularizer=net.penalty, name="classes")(x)
    return keras.Model(inputs, outputs, name="resnet20")


class _Net:
    """The pieces of one residual net, which share its normalization and its penalty."""

    def __init__(self, norm: Normalization, penalty: Any) -> None:
        self.norm = norm
        self.penalty = penalty

    def convolution(self, x: Any, filters: int, size: int, stride: int, name: str) -> Any:
        """Convolution and normalization, without the activation."""
        layer = keras.layers.Conv2D(
            filters,
            size,
            strides=stride,
            padding="same",
            use_bias=not self.norm,
            kernel_initializer="he_normal",
            kernel_regularizer=self.penalty,
            name=f"{name}_conv",
        )
        return self.norm(layer(x))

    def relu(self, x: Any, name: str) -> Any:
        """The activation."""
        return keras.layers.Activation("relu", name=f"{name}_relu")(x)

    def residual(self, x: Any, filters: int, stride: int, name: str) -> Any:
        """Two convolutions and the shortcut around them."""
        shortcut = x if stride == 1 else self.convolution(x, filters, 1, stride, f"{name}_shortcut")
        x = self.relu(self.convolution(x, filters, 3, stride, f"{name}_1"), f"{name}_1")
        x = self.convolution(x, filters, 3, 1, f"{name}_2")
        return self.relu(keras.layers.Add(name=f"{name}_add")([x, shortcut]), name)
