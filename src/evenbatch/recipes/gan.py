"""The two networks of a DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434), for 28×28 and 32×32 pixels."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from evenbatch.errors import InvalidArgument, require_count, unknown
from evenbatch.layers import BatchNormalization, ConditionalBatchNormalization, GhostBatchNormalization
from evenbatch.recipes.parts import require_rate

BASES = {28: (7,), 32: (4, 8)}
"""Pixels on a side of an image, and on a side of what the generator may start from; the first is the default."""
FORMS = ("dcgan", "tutorial")
NORMALIZATIONS = ("batch", "none", "conditional", "ghost", "group")
GROUPS = 8
SLICE = 32

Normalize = bool | str | Callable[[], Any]
"""True for "batch", False for "none", a name of `NORMALIZATIONS`, or a function that returns a new layer."""


@dataclass(frozen=True)
class Networks:
    """A generator, (n, noise) to (n, height, width, channels) in [-1, 1], and a discriminator, images to (n, 1) logits.

    Where the normalization is "conditional", both take [.., labels], labels int32 of shape (n,).
    """

    generator: keras.Model
    discriminator: keras.Model


def gan(
    input_shape: tuple[int, ...],
    classes: int,
    normalize: Normalize = True,
    *,
    noise: int = 100,
    width: int = 64,
    base: int | None = None,
    form: str = "dcgan",
    dropout: float = 0.0,
) -> Networks:
    """Strided convolutions, the layer after each but at the ends, relu in the generator and leaky relu in the other.

    With `form="tutorial"`, what common tutorials write: the layer after every hidden layer, at the generator's output
    and at the discriminator's input too, leaky relu in both networks, and the biases that it makes redundant left in.
    The paper leaves the layer out at the ends, since with it samples oscillate (section 3).

    Args:
        input_shape: Shape of one image: (28, 28, channels) or (32, 32, channels).
        classes: Number of classes, for `normalize="conditional"`: gamma and beta of the generator for each class, and a
            discriminator that projects on the class (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637).
        normalize: What stands between convolution and activation.
        noise: Size of the generator's input.
        width: Filters of the discriminator's first convolution; each further one has twice as many.
        base: Pixels on a side of what the generator starts from; None for 7 (28×28) or 4 (32×32), which may be 8.
        form: "dcgan" or "tutorial".
        dropout: Share of activations that the discriminator sets to zero behind each activation, in [0, 1).

    Raises:
        InvalidArgument: an argument is outside what is allowed.
    """
    require_count("noise", noise)
    require_count("width", width)
    require_rate("dropout", dropout)
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    plan = _Plan(input_shape, _steps(input_shape, base), classes, _name(normalize), normalize, form == "tutorial")
    return Networks(_generator(plan, noise, width), _discriminator(plan, width, dropout))


def check_shape(input_shape: tuple[int, ...]) -> None:
    """Refuses images of another size than 28×28 and 32×32."""
    if len(input_shape) != 3 or input_shape[0] != input_shape[1] or input_shape[0] not in BASES:
        shape = "×".join(map(str, input_shape))
        raise InvalidArgument(
            f"the recipe 'gan' needs images of 28×28 or 32×32 pixels, received {shape}; have them resized with "
            "--option resize=28 (or 32), or choose --preset quick, which resizes the digits"
        )


@dataclass(frozen=True)
class _Plan:
    """What both networks are made of.

    Attributes:
        image: Shape of one image.
        doublings: How often the generator doubles height and width, and the discriminator halves them.
        is_literal: Whether the layer stands everywhere, as in `form="tutorial"`.
    """

    image: tuple[int, ...]
    doublings: int
    classes: int
    kind: str
    given: Normalize
    is_literal: bool

    @property
    def is_conditional(self) -> bool:
        return self.kind == "conditional"

    def label(self) -> Any:
        return keras.Input((), dtype="int32", name="label")

    def normalization(self, name: str, channels: int, *, in_generator: bool) -> Any | None:
        """A new layer, or None."""
        if callable(self.given):
            return self.given()
        if self.kind == "none":
            return None
        if self.kind == "group":
            return keras.layers.GroupNormalization(math.gcd(GROUPS, channels), name=name)
        if self.kind == "ghost":
            return GhostBatchNormalization(SLICE, name=name)
        if self.is_conditional and in_generator:
            return ConditionalBatchNormalization(self.classes, name=name)
        return BatchNormalization(name=name)

    def leaky(self, name: str) -> Any:
        return keras.layers.LeakyReLU(0.2, name=name)


def _generator(plan: _Plan, noise: int, width: int) -> keras.Model:
    side, filters = plan.image[0] >> plan.doublings, width << (plan.doublings - 1)
    inputs, label = keras.Input((noise,), name="noise"), plan.label() if plan.is_conditional else None
    shape = keras.layers.Reshape((side, side, filters), name="generator_reshape")
    dense = _Linear(plan, "generator_dense", in_generator=True)
    if plan.is_literal:  # tutorials normalize each unit before they reshape, the paper each channel after
        x = shape(dense.activated(dense.made(keras.layers.Dense, side * side * filters), inputs, label))
    else:
        x = dense.activated(
            dense.made(keras.layers.Dense, side * side * filters, channels=filters), inputs, label, shape
        )
    for number in range(1, plan.doublings):
        filters //= 2
        layer = _Linear(plan, f"generator_conv_{number}", in_generator=True)
        x = layer.activated(layer.made(keras.layers.Conv2DTranspose, filters, 4, strides=2, padding="same"), x, label)
    last = _Linear(plan, "generator_image", in_generator=True, is_end=True)
    x = last.normalized(last.made(keras.layers.Conv2DTranspose, plan.image[-1], 4, strides=2, padding="same"), x, label)
    images = keras.layers.Activation("tanh", name="generator_tanh", dtype="float32")(x)
    return keras.Model(inputs if label is None else [inputs, label], images, name="generator")


def _discriminator(plan: _Plan, width: int, dropout: float) -> keras.Model:
    x = inputs = keras.Input(plan.image, name="image")
    for number in range(1, plan.doublings + 1):
        layer = _Linear(plan, f"discriminator_conv_{number}", in_generator=False, is_end=number == 1)
        filters = width << (number - 1)
        x = layer.activated(layer.made(keras.layers.Conv2D, filters, 4, strides=2, padding="same"), x, None)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"discriminator_dropout_{number}")(x)
    flat = keras.layers.Flatten(name="discriminator_flatten")(x)
    logits = keras.layers.Dense(1, name="discriminator_logit", dtype="float32")(flat)
    if not plan.is_conditional:
        return keras.Model(inputs, logits, name="discriminator")
    label = plan.label()
    pooled = keras.layers.GlobalAveragePooling2D(name="discriminator_pool")(x)
    embedded = keras.layers.Embedding(plan.classes, pooled.shape[-1], name="discriminator_class")(label)
    projected = keras.layers.Dot(axes=-1, name="discriminator_projection", dtype="float32")([embedded, pooled])
    return keras.Model(
        [inputs, label], keras.layers.Add(name="discriminator_sum")([logits, projected]), name="discriminator"
    )


class _Linear:
    """A linear layer with the normalization behind it, and without the bias that this would take away again."""

    def __init__(self, plan: _Plan, name: str, *, in_generator: bool, is_end: bool = False) -> None:
        self._plan, self._name = plan, name
        self._in_generator = in_generator
        self._is_normalized = plan.is_literal or not is_end
        self._norm: Any | None = None

    def made(self, kind: Any, units: int, *arguments: Any, channels: int | None = None, **options: Any) -> Any:
        """The linear layer: `units` outputs, of which `channels` are normalized apart."""
        if self._is_normalized:
            name = f"{self._name}_norm"
            self._norm = self._plan.normalization(name, channels or units, in_generator=self._in_generator)
        takes_bias_away = isinstance(self._norm, keras.layers.BatchNormalization)
        use_bias = self._plan.is_literal or not takes_bias_away
        return kind(units, *arguments, use_bias=use_bias, name=self._name, **options)

    def normalized(self, linear: Any, x: Any, label: Any, between: Any = None) -> Any:
        """What the linear layer and the normalization make of `x`, with `between` applied before the second."""
        x = linear(x)
        x = x if between is None else between(x)
        if self._norm is None:
            return x
        return self._norm([x, label] if isinstance(self._norm, ConditionalBatchNormalization) else x)

    def activated(self, linear: Any, x: Any, label: Any, between: Any = None) -> Any:
        """The same, and the activation."""
        x = self.normalized(linear, x, label, between)
        if self._in_generator and not self._plan.is_literal:
            return keras.layers.Activation("relu", name=f"{self._name}_relu")(x)
        return self._plan.leaky(f"{self._name}_relu")(x)


def _name(normalize: Normalize) -> str:
    """What the normalization is called; "own" for a function of the user's."""
    if isinstance(normalize, bool):
        return "batch" if normalize else "none"
    if isinstance(normalize, str):
        if normalize not in NORMALIZATIONS:
            raise unknown("normalization", normalize, NORMALIZATIONS)
        return normalize
    if callable(normalize):
        return "own"
    raise InvalidArgument(
        f"normalize must be True, False, one of {', '.join(NORMALIZATIONS)} or a function that returns a new layer, "
        f"received {normalize!r}"
    )


def _steps(input_shape: tuple[int, ...], base: int | None) -> int:
    """How often the base is doubled."""
    check_shape(input_shape)
    side = input_shape[0]
    base = BASES[side][0] if base is None else base
    if base not in BASES[side]:
        allowed = " or ".join(map(str, BASES[side]))
        raise InvalidArgument(f"base must be {allowed} for images of {side}×{side} pixels, received {base!r}")
    return int(math.log2(side // base))
