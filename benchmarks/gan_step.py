"""A training step of the GAN: with our layers over Keras', and over none, timed in turns.

Both networks in one step of `fit`'s own compiled function, on a batch in the host's memory. `--width 64` and
`--batch-size 256` are the defaults of `evenbatch train gan`. `KERAS_BACKEND=jax python benchmarks/gan_step.py --shape
32x32x3`. On a GPU the batch of the defaults is small; `--width 128 --batch-size 1024` fills it.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from evenbatch.bench import backends
from evenbatch.bench.interleave import interleave
from evenbatch.bench.spread import ratio, spread
from evenbatch.gan import GAN
from evenbatch.recipes.gan import gan

ARMS: dict[str, Any] = {"evenbatch": "batch", "keras": keras.layers.BatchNormalization, "none": "none"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", default="28x28x1")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    shape = tuple(map(int, asked.shape.split("x")))
    steps = {name: step(arm, shape, asked.width, asked.batch_size) for name, arm in ARMS.items()}
    seconds = interleave(steps, backends.load(keras.backend.backend()).wait, rounds=asked.rounds)
    name = f"{keras.backend.backend()} {asked.shape} width {asked.width} batch {asked.batch_size}"
    milliseconds = {arm: round(1e3 * spread(times)["median"], 1) for arm, times in seconds.items()}
    sys.stdout.write(f"{name}: {milliseconds} ms a step\n")
    for below in ("keras", "none"):
        found = {key: round(value, 3) for key, value in ratio(seconds["evenbatch"], seconds[below]).items()}
        sys.stdout.write(f"  evenbatch / {below}: {found}\n")


def step(arm: Any, shape: tuple[int, ...], width: int, batch_size: int) -> Callable[[], Any]:
    """A function that takes one step, of the compiled function that `fit` takes it with."""
    networks = gan(shape, 10, arm, width=width)
    model = GAN(networks.generator, networks.discriminator)
    model.compile()
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (batch_size, *shape)).astype("float32")
    batch = {"image": image, "noise": rng.standard_normal((batch_size, model.noise)).astype("float32")}
    model.optimizer.build(model.trainable_variables)
    return lambda: model.train_on_batch(batch)


if __name__ == "__main__":
    main()
