"""What a recalibration costs, next to a pass over the same data.

    python benchmarks/recalibration_cost.py [--rounds 5]

ResNet-20, 19 normalizations one behind the other, 1,000 images of 32×32. Timed in turns, and given as medians of ratios
to an eager forward pass in inference: layer by layer with what later layers need kept in memory, the same with nothing
kept, and all in one pass. The copy of the model is made within.
"""

import argparse
from typing import Any

import keras
import numpy as np

import evenbatch as eb
from evenbatch import recipes
from evenbatch.bench.interleave import interleave
from evenbatch.surgery.recalibration import replay

BATCH = 100


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    words = parser.parse_args()
    model = recipes.get("resnet20")((32, 32, 3), 10)
    x = np.random.default_rng(0).normal(size=(1000, 32, 32, 3)).astype("float32")
    arms = {
        "forward": lambda: forward(model, x),
        "layer by layer": lambda: eb.recalibrate(model, x, batch_size=BATCH, verbose=False),
        "layer by layer, nothing kept": lambda: without_memory(model, x),
        "one pass": lambda: eb.recalibrate(model, x, batch_size=BATCH, one_pass=True, verbose=False),
    }
    samples = interleave(arms, lambda _: None, rounds=words.rounds)
    for name in list(arms)[1:]:
        ratio = float(np.median(np.divide(samples[name], samples["forward"])))
        print(f"{keras.backend.backend()}, {name}: {ratio:.1f} times a forward pass")


def forward(model: Any, x: Any) -> None:
    for begin in range(0, len(x), BATCH):
        keras.ops.convert_to_numpy(model(x[begin : begin + BATCH], training=False))


def without_memory(model: Any, x: Any) -> None:
    kept, replay.MEMORY = replay.MEMORY, 0
    try:
        eb.recalibrate(model, x, batch_size=BATCH, verbose=False)
    finally:
        replay.MEMORY = kept


if __name__ == "__main__":
    main()
