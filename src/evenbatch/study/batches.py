"""Batches in an order that depends on (seed, epoch) alone.

`fit(shuffle=True)` under a set seed repeats one order every epoch on TensorFlow, and no order of Keras' survives a
restart in the middle of a run; here epoch 7 is the same permutation whether or not epochs 0 to 6 ran in this process.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from evenbatch.datasets import Part


@dataclass(frozen=True)
class Feed:
    """What `fit` is fed: its arguments, and what to call when an epoch begins."""

    arguments: dict[str, Any]
    begin: Callable[[int], None]


def order(seed: int, epoch: int, examples: int) -> Any:
    """The order in which an epoch visits the examples, int64 of shape (examples,)."""
    return np.random.default_rng([seed, epoch]).permutation(examples)


def batches(
    part: Part, batch_size: int, seed: int, epochs: range, placed: Callable[[Any], Any] = lambda batch: batch
) -> Feed:
    """Feeds `fit` these epochs, in the backend's fastest form; `placed` lays a batch where its devices are."""
    if keras.backend.backend() == "tensorflow":
        steps = -(-len(part) // batch_size)
        return Feed({"x": _stream(part, batch_size, seed, epochs), "steps_per_epoch": steps}, lambda epoch: None)
    data = _Batches(part, batch_size, seed, placed)
    return Feed({"x": data}, data.begin)


def _stream(part: Part, batch_size: int, seed: int, epochs: range) -> Any:
    """One stream over all epochs; Python is asked once an epoch, for its order."""
    import tensorflow as tf

    with tf.device("CPU"):
        x, y = tf.constant(part.x), tf.constant(part.y)

    def orders() -> Iterator[Any]:
        for epoch in epochs:
            yield order(seed, epoch, len(part))

    stream = tf.data.Dataset.from_generator(orders, output_signature=tf.TensorSpec((len(part),), tf.int64))
    stream = stream.flat_map(lambda indices: tf.data.Dataset.from_tensor_slices(indices).batch(batch_size))
    return stream.map(lambda indices: (tf.gather(x, indices), tf.gather(y, indices))).prefetch(2)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """The batches of the epoch last begun; Keras' own calls do not count epochs reliably (a reset ends one)."""

    def __init__(self, part: Part, batch_size: int, seed: int, placed: Callable[[Any], Any]) -> None:
        super().__init__()
        self._part, self._batch_size, self._seed, self._placed = part, batch_size, seed, placed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        self._order = order(self._seed, epoch, len(self._part))

    def __len__(self) -> int:
        return -(-len(self._part) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        chosen = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        found: tuple[Any, Any] = self._placed((self._part.x[chosen], self._part.y[chosen]))
        return found
