"""How a training step shows the discriminator real and generated images.

One way is right, `separate`. The other three are traps that people fall into with normalization in both networks; they
are here to be shown in a study, each with what it does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from evenbatch import graph


class Logits(NamedTuple):
    """What the discriminator says, shape (n, 1) each.

    Attributes:
        real: Of real images.
        fake: Of generated ones, for its own loss.
        judged: Of generated ones, for the generator's loss.
    """

    real: Any
    fake: Any
    judged: Any


def separate(generator: Any, discriminator: Any, image: Any, noise: Any, label: Any | None) -> Logits:
    """Real images in one batch, generated ones in another, each normalized by its own statistics.

    The generator is called once, and the discriminator once on each batch: its moving statistics move by one real and
    one generated batch in a step, the generator's by one. No call is there for a gradient alone.
    """
    generated = generator(with_label(noise, label), training=True)
    real = discriminator(with_label(image, label), training=True)
    fake = discriminator(with_label(generated, label), training=True)
    return Logits(real, fake, fake)


def mixed(generator: Any, discriminator: Any, image: Any, noise: Any, label: Any | None) -> Logits:
    """A trap: real and generated images in one batch. Its statistics hold both, so an image tells of the others.

    While they differ, the normalization sets the two halves apart by itself; the generator is then judged in a batch of
    its own, by other statistics.
    """
    generated = generator(with_label(noise, label), training=True)
    labels = None if label is None else ops.concatenate([label, label])
    both = discriminator(with_label(ops.concatenate([image, generated]), labels), training=True)
    real, fake = ops.split(both, 2)
    return Logits(real, fake, discriminator(with_label(generated, label), training=True))


def no_training_flag(generator: Any, discriminator: Any, image: Any, noise: Any, label: Any | None) -> Logits:
    """A trap: networks called without `training=True`, as within `train_step` nothing else says it.

    Normalization is then in inference mode, by statistics that nothing moves: a scale and a shift. So is dropout,
    which does nothing then.
    """
    generated = generator(with_label(noise, label))
    fake = discriminator(with_label(generated, label))
    return Logits(discriminator(with_label(image, label)), fake, fake)


def frozen_discriminator(generator: Any, discriminator: Any, image: Any, noise: Any, label: Any | None) -> Logits:
    """A trap: the discriminator's normalization in inference mode while the generator learns.

    This is what `discriminator.trainable = False` in a combined model does, dropout being left as it is: the generator
    is judged by moving statistics, which lag behind and blend real with generated, and so by another function than the
    one that was trained.
    """
    generated = generator(with_label(noise, label), training=True)
    real = discriminator(with_label(image, label), training=True)
    fake = discriminator(with_label(generated, label), training=True)
    with graph.normalizing_in_inference(discriminator):
        return Logits(real, fake, discriminator(with_label(generated, label), training=True))


def with_label(x: Any, label: Any | None) -> Any:
    """What a network of that kind is called with."""
    return x if label is None else [x, label]


SHOWINGS: dict[str, Callable[..., Logits]] = {
    "separate": separate,
    "mixed": mixed,
    "no training flag": no_training_flag,
    "frozen discriminator": frozen_discriminator,
}
