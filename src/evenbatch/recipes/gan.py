"""The two networks of a DCGAN (Radford et al. 2016, https://arxiv.org/abs/1511.06434), for 28×28 and 32×32 pixels."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from evenbatch.errors import InvalidArgument, require_count, require_share, unknown
from evenbatch.layers import BatchNormalization, ConditionalBatchNormalization, GhostBatchNormalization

BASES = {28: (7,), 32: (4, 8)}
"""Pixels on a side of an image, and on a side of what the generator may start from; the first is the default."""
FORMS = ("dcgan", "tutorial")
NORMALIZATIONS = ("batch", "none", "conditional", "ghost", "group")
KERNEL = 4  # a multiple of the stride, so that all pixels get as many terms (Odena et al. 2016)
SLOPE = 0.2  # of the leaky relu, as in the paper
GROUPS = 8
SLICE = 32  # images that "ghost" normalizes together

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
    require_share("dropout", dropout)
    if form not in FORMS:
        raise unknown("form", form, FORMS)
    kind, doublings = _name(normalize), _doublings(input_shape, base)

    def network(makes: Callable[[str, int], Any | None], *, is_generator: bool) -> _Network:
        label = keras.Input((), dtype="int32", name="label") if kind == "conditional" else None
        return _Network(makes, label, is_generator=is_generator, is_literal=form == "tutorial")

    def maker(name: str) -> Callable[[str, int], Any | None]:
        return lambda layer, channels: normalize() if callable(normalize) else _made(name, layer, channels, classes)

    # A discriminator is told the class by a projection, and normalizes as without.
    of_generator, of_discriminator = maker(kind), maker("batch" if kind == "conditional" else kind)
    return Networks(
        _generator(network(of_generator, is_generator=True), input_shape, doublings, noise, width),
        _discriminator(network(of_discriminator, is_generator=False), input_shape, doublings, width, dropout, classes),
    )


def check_shape(input_shape: tuple[int, ...]) -> None:
    """Refuses images of another size than 28×28 and 32×32."""
    if len(input_shape) != 3 or input_shape[0] != input_shape[1] or input_shape[0] not in BASES:
        shape = "×".join(map(str, input_shape))
        raise InvalidArgument(
            f"the recipe 'gan' needs images of 28×28 or 32×32 pixels, received {shape}; have them resized with "
            "--option resize=28 (or 32), or choose --preset quick, which resizes the digits"
        )


class _Network:
    """What the layers of one network have in common.

    Args:
        makes: Gives a new normalization of that name for so many channels, or None.
        label: The input of the classes, for a conditional network.
        is_generator: Whether it is the generator, whose activation is relu.
        is_literal: Whether it has the form of tutorials.
    """

    def __init__(
        self, makes: Callable[[str, int], Any | None], label: Any | None, *, is_generator: bool, is_literal: bool
    ) -> None:
        self._makes, self.label = makes, label
        self._is_generator, self.is_literal = is_generator, is_literal

    def linear(
        self,
        x: Any,
        layer: Callable[..., Any],
        name: str,
        channels: int,
        *,
        is_end: bool = False,
        between: Callable[[Any], Any] = lambda x: x,
    ) -> Any:
        """A linear layer, `between`, and the normalization, without the bias that this would take away again.

        Args:
            x: What it is applied to.
            layer: Gives the layer for a name and `use_bias`.
            name: Its name.
            channels: How many channels are normalized apart.
            is_end: Whether it makes the images, or sees them.
            between: What is applied before the normalization.
        """
        norm = None if is_end and not self.is_literal else self._makes(f"{name}_norm", channels)
        takes_bias_away = isinstance(norm, keras.layers.BatchNormalization) and not self.is_literal
        x = between(layer(name=name, use_bias=not takes_bias_away)(x))
        if norm is None:
            return x
        return norm([x, self.label] if isinstance(norm, ConditionalBatchNormalization) else x)

    def activated(self, x: Any, name: str) -> Any:
        """The activation."""
        if self._is_generator and not self.is_literal:
            return keras.layers.Activation("relu", name=name)(x)
        return keras.layers.LeakyReLU(SLOPE, name=name)(x)

    def model(self, inputs: Any, outputs: Any, name: str) -> keras.Model:
        """The network, with the classes as its second input where it takes them."""
        return keras.Model(inputs if self.label is None else [inputs, self.label], outputs, name=name)


def _generator(net: _Network, image: tuple[int, ...], doublings: int, noise: int, width: int) -> keras.Model:
    side, filters = image[0] >> doublings, width << (doublings - 1)
    dense = functools.partial(keras.layers.Dense, side * side * filters)
    shape = keras.layers.Reshape((side, side, filters), name="generator_reshape")
    inputs = keras.Input((noise,), name="noise")
    if net.is_literal:  # tutorials normalize each unit before they reshape, the paper each channel after
        x = net.linear(inputs, dense, "generator_dense", side * side * filters)
        x = shape(net.activated(x, "generator_dense_relu"))
    else:
        x = net.linear(inputs, dense, "generator_dense", filters, between=shape)
        x = net.activated(x, "generator_dense_relu")
    for number in range(1, doublings):
        filters //= 2
        x = net.linear(x, _doubling(filters), f"generator_conv_{number}", filters)
        x = net.activated(x, f"generator_conv_{number}_relu")
    x = net.linear(x, _doubling(image[-1]), "generator_image", image[-1], is_end=True)
    return net.model(inputs, keras.layers.Activation("tanh", name="generator_tanh", dtype="float32")(x), "generator")


def _discriminator(
    net: _Network, image: tuple[int, ...], doublings: int, width: int, dropout: float, classes: int
) -> keras.Model:
    x = inputs = keras.Input(image, name="image")
    for number in range(1, doublings + 1):
        name, filters = f"discriminator_conv_{number}", width << (number - 1)
        layer = functools.partial(keras.layers.Conv2D, filters, KERNEL, strides=2, padding="same")
        x = net.activated(net.linear(x, layer, name, filters, is_end=number == 1), f"{name}_relu")
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"discriminator_dropout_{number}")(x)
    flat = keras.layers.Flatten(name="discriminator_flatten")(x)
    logits = keras.layers.Dense(1, name="discriminator_logit", dtype="float32")(flat)
    if net.label is not None:
        logits = keras.layers.Add(name="discriminator_sum")([logits, _projection(x, net.label, classes)])
    return net.model(inputs, logits, "discriminator")


def _doubling(filters: int) -> Callable[..., Any]:
    return functools.partial(keras.layers.Conv2DTranspose, filters, KERNEL, strides=2, padding="same")


def _projection(x: Any, label: Any, classes: int) -> Any:
    """How well features fit a class: the inner product with a vector of its own (Miyato & Koyama 2018, equation 4)."""
    pooled = keras.layers.GlobalAveragePooling2D(name="discriminator_pool")(x)
    embedded = keras.layers.Embedding(classes, pooled.shape[-1], name="discriminator_class")(label)
    return keras.layers.Dot(axes=-1, name="discriminator_projection", dtype="float32")([embedded, pooled])


def _made(kind: str, name: str, channels: int, classes: int) -> Any | None:
    """A new normalization of a kind, or None."""
    if kind == "none":
        return None
    if kind == "group":
        return keras.layers.GroupNormalization(math.gcd(GROUPS, channels), name=name)
    if kind == "ghost":
        return GhostBatchNormalization(SLICE, name=name)
    if kind == "conditional":
        return ConditionalBatchNormalization(classes, name=name)
    return BatchNormalization(name=name)


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


def _doublings(input_shape: tuple[int, ...], base: int | None) -> int:
    """How often the generator doubles height and width, and the discriminator halves them."""
    check_shape(input_shape)
    side = input_shape[0]
    base = BASES[side][0] if base is None else base
    if base not in BASES[side]:
        allowed = " or ".join(map(str, BASES[side]))
        raise InvalidArgument(f"base must be {allowed} for images of {side}×{side} pixels, received {base!r}")
    return int(math.log2(side // base))
