"""Bytes a second that the backend moves when it does nothing else: the best that a layer can hope for.

Each backend offers its ways to read a large tensor once and write it once; the fastest counts, in its fastest round.
Ways that write into memory that is there already are among them: asking the system for new memory costs more than
writing it. Threads are those that the backend's operations have.
"""

from evenbatch.bench.backends import Backend
from evenbatch.bench.interleave import interleave

_ELEMENTS = 64 * 2**20  # of four bytes each: larger than caches are


def copy_bandwidth(backend: Backend, *, elements: int = _ELEMENTS, rounds: int = 25) -> float:
    """Bytes read and written a second."""
    samples = interleave(backend.copies(elements), backend.wait, rounds=rounds, budget=10)
    return 2 * 4 * elements / min(min(seconds) for seconds in samples.values())
