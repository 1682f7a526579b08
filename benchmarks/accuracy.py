"""Errors of a training step against float64: our layer and Keras', on the backend and in the modes that Keras runs.

Prints a Markdown table of the largest errors over 8 channels, for the values per channel and the ratios of mean to
standard deviation that make float32 sums hard. `KERAS_BACKEND=jax python benchmarks/accuracy.py`.
"""

import sys
from typing import Any

import keras
import numpy as np

import evenbatch as eb
from evenbatch import backend
from evenbatch.bench import backends
from evenbatch.bench.plan import MODES
from evenbatch.kernels import reference

COUNTS, RATIOS, CHANNELS = (256, 50_000, 200_704), (0.0, 1e2, 1e3, 1e4), 8
LAYERS = {"ours": eb.BatchNormalization, "Keras": keras.layers.BatchNormalization}


def main() -> None:
    framework = backends.load(keras.backend.backend())
    sys.stdout.write(f"{framework.device().name}; {backend.versions()}\n\n")
    sys.stdout.write("| values per channel | mean / std | mode | layer | y | mean | variance | dx | dgamma |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|---|---|\n")
    for count in COUNTS:
        for ratio in RATIOS:
            for mode in MODES[keras.backend.backend()]:
                for name in LAYERS:
                    errors = " | ".join(f"{error:.0e}" for error in largest_errors(framework, name, mode, count, ratio))
                    sys.stdout.write(f"| {count:,} | {ratio:,.0f} | {mode} | {name} | {errors} |\n")
                    sys.stdout.flush()


def largest_errors(framework: backends.Backend, name: str, mode: str, count: int, ratio: float) -> list[float]:
    """Of the output, the batch's mean and variance, and the gradients with respect to inputs and gamma."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(count, CHANNELS)) + ratio).astype("float32")
    dy = rng.normal(size=x.shape).astype("float32")
    y, batch = reference.normalize_batch(x, np.ones(CHANNELS), np.zeros(CHANNELS), -1, 1e-3)
    dx, dgamma, _ = reference.gradients(dy, x, np.ones(CHANNELS), -1, 1e-3)
    layer = LAYERS[name](momentum=0.0)  # the moving statistics are then the batch's
    layer.build(x.shape)
    tensors = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(dy)
    found = _step(framework.layer_training(layer, *tensors, mode)(), layer)
    return [float(np.abs(a - b).max()) for a, b in zip(found, (y, batch.mean, batch.variance, dx, dgamma), strict=True)]


def _step(result: Any, layer: keras.layers.Layer) -> list[Any]:
    """Output, mean, variance and gradients, as each backend's module of `bench` returns them."""
    if keras.backend.backend() == "jax":
        (y, ((dgamma, _), dx)), (mean, variance) = result
    else:
        (y, (dx, dgamma, _)), (mean, variance) = result, (layer.moving_mean, layer.moving_variance)
    return [keras.ops.convert_to_numpy(value).astype("float64") for value in (y, mean, variance, dx, dgamma)]


if __name__ == "__main__":
    main()
