"""What a stage has met: the populations of its layers, and how much was read."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from evenbatch import sharing
from evenbatch.surgery.recalibration.population import Population


class Tally:
    """What a stage has met.

    Args:
        channels: By layer, how many channels it has.

    Attributes:
        populations: By layer.
        batches: How many were read.
        examples: How many.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        self._channels = dict(channels)
        self.populations = {layer: Population.empty(number) for layer, number in channels.items()}
        self.batches = self.examples = 0

    def add(self, batch: Mapping[int, Population], examples: int) -> None:
        """Takes a batch in."""
        for layer, population in batch.items():
            self.populations[layer].add(population)
        self.batches, self.examples = self.batches + 1, self.examples + examples

    def of_all_processes(self, strategy: Any) -> "Tally":
        """What all processes have met together, the same on each of them to the bit: one exchange."""
        own = np.concatenate([[self.batches, self.examples], *(one.row for one in self.populations.values())])
        merged = Tally(self._channels)
        for row in sharing.rows_of_all_processes(own, strategy):
            merged._take_in(row)
        return merged

    def _take_in(self, row: Any) -> None:
        self.batches, self.examples = self.batches + int(row[0]), self.examples + int(row[1])
        ends = np.cumsum([2, *(1 + 2 * number for number in self._channels.values())])
        for layer, begin, end in zip(self._channels, ends[:-1], ends[1:], strict=True):
            self.populations[layer].add(Population.of_row(row[begin:end]))

    def first_not_finite(self, layers: Iterable[int]) -> int | None:
        """The first of these layers that has met what is no number."""
        return next((layer for layer in layers if not self.populations[layer].is_finite()), None)
