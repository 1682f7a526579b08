"""What is printed: Markdown."""

import os
import re
import sys
from typing import Any

import keras
import kernels as on_one_device
import numpy as np
from arms import ARMS, BASE, SHAPE, far_batch

from evenbatch import backend
from evenbatch.bench import cpu
from evenbatch.bench.interleave import interleave
from evenbatch.bench.spread import ratio, spread

REFUSED = "refused"


def say(line: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def row(*cells: object) -> None:
    say(f"| {' | '.join(map(str, cells))} |")


def header(*names: str) -> None:
    say("")
    row(*names)
    say("|" + "---|" * len(names))


def head(replicas: int) -> None:
    say(f"{cpu.name()}, {cpu.cores()} cores; {backend.versions()}; {replicas} replicas")


def cost(runner: Any, options: Any) -> None:
    """Collectives per replica of one layer in one step, with the bytes of what it holds when one is done."""
    say(f"\nOne layer, {'×'.join(map(str, SHAPE))} float32 on each of {options.replicas} replicas: {runner.counted}")
    header("layer", "way", "forward", "backward", "besides")
    for name, make in ARMS.items():
        if reason := attempt(make):
            row(name, "", REFUSED, "", reason)
            continue
        for way, forward, backward, besides in runner.cost(make):
            row(name, way, told(forward), told(backward), besides)


def told(found: list[int]) -> str:
    """Collectives by their bytes."""
    return f"{len(found)}: {' + '.join(f'{size:,}' for size in found)} B" if found else "0"


def steps(runner: Any, options: Any) -> None:
    """Milliseconds of a training step, and the ratio to Keras' layer as it is by default, round by round."""
    say(f"\nResNet-20, global batch {options.batch} of 32×32×3, {options.replicas} replicas, {options.rounds} rounds")
    calls, wait = runner.steps(options.batch)
    # A step is longer than the clock needs, and calls in turns must be the same on every rank.
    seconds = interleave(calls, wait, rounds=options.rounds, at_least=0.0)
    header("layer", "ms, median (middle half)", f"over {BASE!r} (middle half)")
    for name, found in seconds.items():
        milliseconds = {key: 1e3 * value for key, value in spread(found).items()}
        row(name, middle(milliseconds, ".0f"), middle(ratio(found, seconds[BASE]), ".2f"))


def middle(values: dict[str, float], form: str) -> str:
    return f"{values['median']:{form}} ({values['low']:{form}}–{values['high']:{form}})"


def truth(runner: Any, options: Any) -> None:
    """Two replicas, {0, 2} and {100, 104}: the global batch has the mean 51.5 and the variance 2,552.75."""
    if options.replicas != 2:
        say("\ntruth is told for 2 replicas")
        return
    header(
        "layer", "moving mean on each", "moving variance on each", "saved file", "with a mask", "last batch of 1 + 0"
    )
    for name, make in ARMS.items():
        if attempt(make):
            row(name, *[REFUSED] * 5)
            continue
        mean, variance, saved = runner.moving(make)
        masked = "; ".join(numbers([part[0] for part in parts]) for parts in runner.masked(make))
        row(name, numbers(mean), numbers(variance), numbers(saved), masked, runner.partial(make))
    x, expected = far_batch(options.replicas)
    header("layer", "largest error at mean 1e4, standard deviation 1", "moving mean", "moving variance")
    for name, make in ARMS.items():
        if name in runner.is_global:
            y, mean, variance = runner.far(make, x)
            found = np.abs(mean - x.mean(0, dtype="float64")), np.abs(variance - x.var(0, dtype="float64"))
            row(name, f"{np.abs(y - expected).max():.0e}", *(f"{error.max():.0e}" for error in found))


def attempt(make: Any) -> str | None:
    """Why the layer cannot be made."""
    try:
        make()
    except ValueError as error:
        return first_line(error)
    return None


def first_line(error: BaseException) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"\s+", " ", line.replace("|", "/"))[:110]


def numbers(values: Any) -> str:
    return ", ".join(f"{float(value):,.6g}" for value in np.ravel(values))


def kernels(runner: Any, options: Any) -> None:
    """One device: the fused way, which a replica by itself takes, and the two functions that replicas need."""
    header("shape", *on_one_device.COLUMNS)
    for shape in on_one_device.SHAPES:
        calls, wait = on_one_device.calls(keras.backend.backend(), shape)
        seconds = interleave(calls, wait, rounds=options.rounds)
        times = [f"{1e3 * spread(found)['median']:.2f}" for found in seconds.values()]
        ratios = middle(ratio(seconds["moments, normalize"], seconds["normalize_batch"]), ".2f")
        row("×".join(map(str, shape)), *times, ratios)
