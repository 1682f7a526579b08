"""Batches in an order that depends on (seed, epoch) alone.

`fit(shuffle=True)` under a set seed repeats one order every epoch on TensorFlow, and no order of Keras' survives a
restart in the middle of a run; here epoch 7 is the same permutation whether or not epochs 0 to 6 ran in this process.
What else is drawn for an example, the noise of a generator, follows the same rule, and so is the same on every backend.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from evenbatch.datasets import Part

Rows = dict[str, Any]
"""Arrays of as many rows as an epoch has examples, or a batch of them."""


@dataclass(frozen=True)
class Feed:
    """What `fit` is fed: its arguments, and what to call when an epoch begins."""

    arguments: dict[str, Any]
    begin: Callable[[int], None]


@dataclass(frozen=True)
class Course(ABC):
    """What `fit` is fed over the epochs of a trial.

    Attributes:
        part: The examples.
        batch_size: Examples in a batch.
        seed: What orders and draws depend on, with the number of the epoch.
    """

    part: Part
    batch_size: int
    seed: int

    @property
    @abstractmethod
    def examples(self) -> int:
        """How many examples an epoch has."""

    @abstractmethod
    def epoch(self, number: int) -> Rows:
        """An epoch: the example of each row, as `index`, and what was drawn for it."""

    @abstractmethod
    def batch(self, rows: Rows, x: Any, y: Any) -> Any:
        """A batch in the form of `fit`, of some rows of an epoch, with their examples and labels."""

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return -(-self.examples // self.batch_size)

    def feed(self, epochs: range, placed: Callable[[Any], Any] = lambda batch: batch) -> Feed:
        """Feeds `fit` these epochs, in the backend's fastest form; `placed` lays a batch where its devices are."""
        if keras.backend.backend() == "tensorflow":
            return Feed({"x": _stream(self, epochs), "steps_per_epoch": self.batches}, lambda epoch: None)
        data = _Batches(self, placed)
        return Feed({"x": data}, data.begin)


class Labelled(Course):
    """Every example once an epoch, with its label; the last batch takes what is left."""

    @property
    def examples(self) -> int:
        """All of them."""
        return len(self.part)

    def epoch(self, number: int) -> Rows:
        """The order."""
        return {"index": order(self.seed, number, len(self.part))}

    def batch(self, rows: Rows, x: Any, y: Any) -> Any:
        """Examples and labels."""
        return x, y


@dataclass(frozen=True)
class WithNoise(Course):
    """Whole batches of images with labels and noise; an epoch leaves out what is less than a batch, each time others.

    Attributes:
        noise: Size of the noise of an image.
    """

    noise: int

    @property
    def examples(self) -> int:
        """As many as there are whole batches for."""
        return len(self.part) // self.batch_size * self.batch_size

    def epoch(self, number: int) -> Rows:
        """The order, and standard normal noise."""
        drawn = np.random.default_rng([self.seed, number, 1]).standard_normal((self.examples, self.noise), "float32")
        return {"index": order(self.seed, number, len(self.part))[: self.examples], "noise": drawn}

    def batch(self, rows: Rows, x: Any, y: Any) -> Any:
        """A dict, as `evenbatch.gan.GAN` takes it."""
        return {"image": x, "label": y, "noise": rows["noise"]}


def order(seed: int, epoch: int, examples: int) -> Any:
    """The order in which an epoch visits the examples, int64 of shape (examples,)."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def _stream(course: Course, epochs: range) -> Any:
    """One stream over all epochs; Python is asked once an epoch, for its order and its draws."""
    import tensorflow as tf

    with tf.device("CPU"):
        x, y = tf.constant(course.part.x), tf.constant(course.part.y)

    def rows() -> Iterator[Any]:
        yield from map(course.epoch, epochs)

    first = course.epoch(0)
    signature = {name: tf.TensorSpec(array.shape, array.dtype) for name, array in first.items()}
    stream = tf.data.Dataset.from_generator(rows, output_signature=signature)
    size = course.batch_size
    is_even = course.examples % size == 0  # drops nothing then, and tells the graph how many rows a batch has
    stream = stream.flat_map(lambda epoch: tf.data.Dataset.from_tensor_slices(epoch).batch(size, is_even))
    gathered = stream.map(
        lambda some: course.batch(some, tf.gather(x, some["index"]), tf.gather(y, some["index"])),
    )
    return gathered.prefetch(2)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of the epoch last begun; Keras' own calls do not count epochs reliably (a reset ends one)."""

    def __init__(self, course: Course, placed: Callable[[Any], Any]) -> None:
        super().__init__()
        self._course, self._placed = course, placed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        self._rows = self._course.epoch(epoch)

    def __len__(self) -> int:
        return self._course.batches

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        size, part = self._course.batch_size, self._course.part
        rows = {name: array[index * size : (index + 1) * size] for name, array in self._rows.items()}
        batch = self._placed(self._course.batch(rows, part.x[rows["index"]], part.y[rows["index"]]))
        return batch if isinstance(batch, tuple) else (batch,)
