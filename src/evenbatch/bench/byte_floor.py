"""The time below which no implementation can come: the bytes that have to move, at the speed at which bytes can move.

In training the inputs are read for the mean, for the variance and for the output, which is written; backward, inputs
and upstream gradient are read for the sums and again for the gradient, which is written. Sums in one sweep would save
some of it, and a tensor that stays in cache all of it, so small tensors get no floor.
"""

import math

from evenbatch.bench.plan import DTYPES, Shape

PASSES = {"training": 8, "inference": 2}
"""How often a tensor of the inputs' size is read or written."""

_SMALLEST = 8 * 2**20  # bytes; what is smaller may stay in cache


def tensor_bytes(shape: Shape, dtype: str) -> int:
    """Bytes of a tensor."""
    return math.prod(shape) * DTYPES[dtype]


def floor_seconds(size: int, phase: str, bytes_per_second: float) -> float | None:
    """Seconds that moving a tensor of `size` bytes takes in that phase; None where it may stay in cache."""
    return PASSES[phase] * size / bytes_per_second if size >= _SMALLEST else None
