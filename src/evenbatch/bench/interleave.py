"""Times several functions in turns, so that a drift of the machine meets all of them alike.

A round measures each function once, in an order drawn anew; what is compared are times of the same round. A fast
function is called several times a measurement, so that the clock and the waiting are small against it.
"""

import gc
import math
import random
import time
from collections.abc import Callable, Mapping

Call = Callable[[], object]
"""Starts the work; what it returns is there when the work is done."""

Samples = dict[str, list[float]]
"""Seconds a call, of each arm in each round."""

_WARM_UP = 3  # a framework may trace, compile and tune in the first calls
_FEWEST_ROUNDS = 3


def interleave(
    arms: Mapping[str, Call],
    wait: Callable[[object], None],
    *,
    rounds: int,
    at_least: float = 0.02,
    budget: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> Samples:
    """Seconds a call of each arm in each round.

    Args:
        arms: What is timed, by name.
        wait: Blocks until the result that it is given is there; it is timed too.
        rounds: Measurements of each arm.
        at_least: Seconds that one measurement lasts, by calling several times.
        budget: Seconds after which no further round begins, once there are three.
        clock: Tells the time in seconds.
    """
    repeats = {name: _repeats(call, wait, at_least, clock) for name, call in arms.items()}
    samples: Samples = {name: [] for name in arms}
    order, draw = list(arms), random.Random(0)
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()  # a collection would fall on whichever arm happens to run
    try:
        begin = clock()
        for done in range(rounds):
            if done >= _FEWEST_ROUNDS and clock() - begin > budget:
                break
            draw.shuffle(order)
            for name in order:
                samples[name].append(_seconds(arms[name], wait, repeats[name], clock) / repeats[name])
    finally:
        if collecting:
            gc.enable()
    return samples


def _repeats(call: Call, wait: Callable[[object], None], at_least: float, clock: Callable[[], float]) -> int:
    """How often a measurement calls the function; calls it until it is warm."""
    for _ in range(_WARM_UP):
        wait(call())
    count = 1
    while (seconds := _seconds(call, wait, count, clock)) < at_least:
        # No more than tenfold at once: a first measurement near zero says little.
        count = min(10 * count, math.ceil(1.2 * count * at_least / max(seconds, 1e-9)))
    return count


def _seconds(call: Call, wait: Callable[[object], None], count: int, clock: Callable[[], float]) -> float:
    begin = clock()
    for _ in range(count - 1):
        call()  # its result goes at once, so that its memory is used again, as it is in a network
    wait(call())
    return clock() - begin
