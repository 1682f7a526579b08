"""Data in any of its forms as batches that can be gone through as often as there are stages.

Arrays are cut into batches. An iterable of batches is read once, and its batches are kept in memory. Where they are
more than `KEPT` bytes, it is iterated again for every stage; what can be iterated but once is refused there, at
`KEPT_OF_ONCE`.
"""

from collections.abc import Iterator
from itertools import islice
from operator import itemgetter
from typing import Any

import keras
import numpy as np

from evenbatch.errors import InvalidData
from evenbatch.surgery.recalibration.feeds import Feeds, as_array, bytes_of, examples, mapped

KEPT = 2**30
"""Bytes of batches that are kept of what can be iterated again."""

KEPT_OF_ONCE = 2**32
"""Bytes of batches that are kept of a generator, or of anything else that can be iterated once."""


MOST = 100_000
"""Batches that data may have which do not tell how many they are."""


class Batches:
    """The batches of the user's data.

    Args:
        data: What the user gave.
        feeds: What the model takes.
        batch_size: Examples in a batch, where the data are arrays.
        limit: The number of batches to be read at most; None for all.

    Attributes:
        limit: The same; a lower one may be set.

    Raises:
        InvalidData: the data are of no form that is taken, or have no end.
    """

    def __init__(self, data: Any, feeds: Feeds, batch_size: int, limit: int | None) -> None:
        self.limit = limit
        self._feeds = feeds
        self._source = _source(data, feeds, batch_size, limit)
        self._is_once = isinstance(self._source, Iterator)
        self._rest: Iterator[Any] = self._read()
        # None where there are too many to be kept. Slices of arrays need not be.
        self._held: list[Any] | None = None if isinstance(self._source, _Cut) else []
        self._bytes = 0
        self._at_end = False

    @property
    def at_hand(self) -> bool:
        """Whether every pass gives the very same batches."""
        return self._held is not None or isinstance(self._source, _Cut)

    @property
    def count(self) -> int | None:
        """How many there are; None where that is not known by now."""
        found = len(self._held) if self._at_end and self._held is not None else _length(self._source)
        return found if self.limit is None else min(found or self.limit, self.limit)

    def __iter__(self) -> Iterator[Any]:
        """The inputs of each batch. Batches without examples are left out."""
        return islice(self._all(), self.limit)

    def _all(self) -> Iterator[Any]:
        if self._held is None:
            yield from self._read()
            return
        held = self._held
        yield from held
        for inputs in self._rest:
            if self._held is not None:
                self._hold(inputs)
            yield inputs
        self._at_end = True

    def _hold(self, inputs: Any) -> None:
        """Keeps a batch; all of them are given up where they are too many."""
        self._bytes += sum(map(bytes_of, keras.tree.flatten(inputs)))
        if self._bytes <= (KEPT_OF_ONCE if self._is_once else KEPT):
            self._held.append(inputs)  # type: ignore[union-attr]
        elif self._is_once:
            raise InvalidData(
                f"data can be gone through only once, and its batches are more than {KEPT_OF_ONCE / 2**30:g} GiB, "
                "which are not kept for the later layers; pass max_batches=, or data that can be iterated again"
            )
        else:
            self._held = None

    def _read(self) -> Iterator[Any]:
        """The batches, from the beginning."""
        for number, batch in enumerate(self._source):
            if number == MOST and self.limit is None and _length(self._source) is None:
                raise InvalidData(
                    f"data must come to an end, and has given {MOST:,} batches without one; pass max_batches="
                )
            # Slices of arrays are inputs already.
            inputs = batch if isinstance(self._source, _Cut) else mapped(_copied, self._feeds.inputs(batch))
            if examples(inputs):
                yield inputs


class _Cut:
    """Arrays, cut into batches."""

    def __init__(self, inputs: Any, batch_size: int) -> None:
        sizes = {examples(one) for one in keras.tree.flatten(inputs)}
        if len(sizes) != 1:
            raise InvalidData(
                f"data must hold inputs of as many examples each, received {', '.join(map(str, sorted(sizes)))}; "
                "give every input of the same examples"
            )
        self._inputs, self._size, self._step = inputs, sizes.pop(), batch_size

    def __len__(self) -> int:
        return -(-self._size // self._step)

    def __iter__(self) -> Iterator[Any]:
        for begin in range(0, self._size, self._step):
            yield mapped(itemgetter(slice(begin, begin + self._step)), self._inputs)


class _Indexed:
    """A `keras.utils.PyDataset`, or anything else of batches by their numbers."""

    def __init__(self, batches: Any, count: int) -> None:
        self._batches, self._count = batches, count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        return (self._batches[i] for i in range(self._count))


def _source(data: Any, feeds: Feeds, batch_size: int, limit: int | None) -> Any:
    """What is iterated for the batches."""
    data = data.to_numpy() if hasattr(data, "to_numpy") else data
    # As Keras takes several inputs. No batch of theirs is an array.
    is_inputs = feeds.count > 1 and _are_inputs(data, feeds)
    with_targets = isinstance(data, tuple) and 1 < len(data) <= 3 and _are_inputs(data[0], feeds)
    if is_inputs or with_targets or _is_of_arrays(data):
        return _Cut(feeds.inputs(data), batch_size)
    if isinstance(data, keras.utils.PyDataset):
        count = limit if data.num_batches is None else data.num_batches
        if count is None:
            raise _endless()
        return _Indexed(data, count)
    if hasattr(data, "cardinality") and int(data.cardinality()) == -1 and limit is None:  # tf.data's sign for it
        raise _endless()
    is_text = isinstance(data, str | bytes | dict)
    if not is_text and not hasattr(data, "__iter__") and hasattr(data, "__len__") and hasattr(data, "__getitem__"):
        return _Indexed(data, len(data))
    if is_text or not hasattr(data, "__iter__"):
        raise InvalidData(
            "data must be an array, (x, y), a dict or tuple of inputs, or an iterable of batches such as a "
            f"tf.data.Dataset or a torch DataLoader, received {type(data).__name__}"
        )
    return data


def _endless() -> InvalidData:
    return InvalidData("data must come to an end, received a data set that repeats for ever; pass max_batches=")


def _is_of_arrays(data: Any) -> bool:
    """Whether these are arrays and no iterable of batches: one, or a dict or tuple of them, in front at least.

    A list is one of batches.
    """
    if isinstance(data, dict):
        return bool(data) and all(map(_is_of_arrays, data.values()))
    if isinstance(data, tuple):
        return bool(data) and _is_of_arrays(data[0])
    return _is_array(data)


def _are_inputs(data: Any, feeds: Feeds) -> bool:
    """Whether this is a list of an array for each input, as `fit` takes it."""
    return isinstance(data, list) and len(data) == feeds.count and all(map(_is_array, data))


def _is_array(data: Any) -> bool:
    return hasattr(data, "shape") and hasattr(data, "dtype") and len(data.shape) > 0


def _length(source: Any) -> int | None:
    try:
        return len(source)
    except TypeError:  # of tf.data, where it does not know
        return None


def _copied(x: Any) -> Any:
    """What a loader may fill again for its next batch, once more."""
    found = as_array(x)
    if isinstance(found, np.ndarray):
        return np.array(found)
    return found.clone() if hasattr(found, "clone") else found  # tensors of other backends are never changed
