"""Images of a generator, normalized in one of three ways.

*moving*: by its moving statistics, as `predict` does. *batch*: by those of each batch, as in training; an image then
depends on its companions. *recalibrated*: by the statistics of a large population of noise (the "standing statistics"
of other tools), which belong to the very weights it has, an average over weights included. With the first and the last,
the same noise gives the same image in any company, but for the last bits that frameworks round by batch size.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch.errors import InvalidArgument, require_count, unknown
from evenbatch.sharing import local_statistics
from evenbatch.surgery import recalibrate

Array = np.ndarray[Any, np.dtype[Any]]
STATISTICS = ("moving", "batch", "recalibrated")
BATCH_SIZE = 256
POPULATION, SEED_OF_THE_POPULATION = 4096, 20160107
"""Draws of noise by which a generator is recalibrated: channels of 7×7 positions then have 200,000 values."""


def images(
    generator: Any,
    noise: Array,
    label: Array | None = None,
    *,
    statistics: str = "moving",
    batch_size: int = BATCH_SIZE,
) -> Array:
    """The images that a generator makes of noise. The generator is left as it is.

    Args:
        generator: A built model of one input, (n, noise), or of two, [noise, label].
        noise: float32 of shape (n, noise).
        label: int32 of shape (n,), for a generator that takes labels.
        statistics: "moving", "batch" or "recalibrated".
        batch_size: Images in a batch; with "batch", the result depends on it.

    Returns:
        float32 of shape (n, height, width, channels), in [-1, 1] for a generator that ends in tanh.

    Raises:
        InvalidArgument: an argument is outside what is allowed.
    """
    require_generator(generator)
    if statistics not in STATISTICS:
        raise unknown("statistics", statistics, STATISTICS)
    require_count("batch_size", batch_size)
    inputs = _inputs(generator, noise, label)
    if statistics == "recalibrated":
        generator = recalibrated(generator)
    call = _by_its_batch if statistics == "batch" else _in_inference
    starts = range(0, len(noise), batch_size)
    with local_statistics():
        parts = [call(generator, [x[start : start + batch_size] for x in inputs]) for start in starts]
    return np.concatenate(parts)


def require_generator(model: Any) -> None:
    """Refuses a model that does not make images of noise, or of noise and labels.

    Raises:
        InvalidArgument: it is another model.
    """
    inputs = [tuple(tensor.shape) for tensor in getattr(model, "inputs", None) or ()]
    output = tuple(getattr(model, "output_shape", None) or ())
    makes_images = len(output) == 4 and output[-1] in (1, 3) and None not in output[1:]
    takes_noise = [len(shape) for shape in inputs] in ([2], [2, 1], [2, 2])
    if not (makes_images and takes_noise):
        raise InvalidArgument(
            "the generator must take noise, of shape (n, size), and where it is conditional labels, and give images of "
            f"shape (n, height, width, 1 or 3); received a model from {inputs or 'no known inputs'} to {output}"
        )


def recalibrated(generator: Any, population: int = POPULATION) -> Any:
    """A new generator with the statistics of a population of noise, always the same; itself where it has no statistics.

    Args:
        generator: As in `images`; labels are drawn evenly.
        population: How many draws of noise.
    """
    if not has_statistics(generator):
        return generator
    noise, label = drawn(generator, population, SEED_OF_THE_POPULATION)
    with local_statistics():
        return recalibrate(generator, noise if label is None else (noise, label), batch_size=BATCH_SIZE, verbose=False)


def has_statistics(generator: Any) -> bool:
    """Whether the generator normalizes by statistics of a batch in training, and by others in inference."""
    return any(isinstance(layer, keras.layers.BatchNormalization) for layer in generator._flatten_layers())


def drawn(generator: Any, count: int, seed: int, label: int | None = None) -> tuple[Array, Array | None]:
    """Noise for so many images and, for a generator that takes labels, their classes: one, or all of them in turn.

    Raises:
        InvalidArgument: it is no generator, takes no labels where one is given, or has no such class.
    """
    require_generator(generator)
    classes = classes_of(generator)
    if label is not None and not 0 <= label < classes:
        wanted = f"a class from 0 to {classes - 1}" if classes else "left out, since the generator takes no labels"
        raise InvalidArgument(f"label must be {wanted}, received {label}")
    noise = noise_of(generator, count, np.random.default_rng(seed))
    if not classes:
        return noise, None
    return noise, (np.arange(count) % classes if label is None else np.full(count, label)).astype("int32")


def noise_of(generator: Any, count: int, rng: np.random.Generator) -> Array:
    """Standard normal noise for a generator, float32 of shape (count, noise)."""
    return rng.standard_normal((count, int(generator.inputs[0].shape[-1])), dtype="float32")


def classes_of(generator: Any) -> int:
    """How many classes a generator tells apart; 0 for one that takes no labels."""
    if len(generator.inputs) == 1:
        return 0
    counts = {int(layer.num_classes) for layer in generator._flatten_layers() if hasattr(layer, "num_classes")}
    if len(counts) != 1:
        raise InvalidArgument(
            "generator must tell the number of its classes by layers with num_classes, such as "
            f"eb.ConditionalBatchNormalization, received {sorted(counts) or 'none'}"
        )
    return counts.pop()


def _inputs(generator: Any, noise: Array, label: Array | None) -> list[Array]:
    wanted = int(generator.inputs[0].shape[-1])
    noise = np.asarray(noise, "float32")
    if noise.ndim != 2 or noise.shape[1] != wanted or not len(noise):
        raise InvalidArgument(
            f"noise must have the shape (n, {wanted}) of the generator's input, received {noise.shape}"
        )
    if len(generator.inputs) == 1:
        return [noise]
    if label is None or np.shape(label) != (len(noise),):
        raise InvalidArgument(
            f"label must hold a class for each of {len(noise)} rows of noise, of shape ({len(noise)},), since the "
            f"generator takes labels; received {None if label is None else np.shape(label)}"
        )
    return [noise, np.asarray(label, "int32")]


def _in_inference(generator: Any, inputs: list[Array]) -> Array:
    return _without_gradient(lambda: generator(inputs[0] if len(inputs) == 1 else inputs, training=False))


def _by_its_batch(generator: Any, inputs: list[Array]) -> Array:
    with keras.StatelessScope():  # where moving statistics go that this moves
        return _without_gradient(lambda: generator(inputs[0] if len(inputs) == 1 else inputs, training=True))


def _without_gradient(call: Callable[[], Any]) -> Array:
    if keras.backend.backend() == "torch":
        import torch

        with torch.no_grad():
            return np.asarray(keras.ops.convert_to_numpy(call()), "float32")
    return np.asarray(keras.ops.convert_to_numpy(call()), "float32")
