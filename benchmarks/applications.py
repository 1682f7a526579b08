"""Every model of keras.applications, upgraded and back: is it the same model, and how long does it take?

    python benchmarks/applications.py [--only NAME ...] [--dtype float32] [--json FILE]

Random weights, moving statistics of a batch and 20 % off, 96×96 images, a batch of 2. Compared are the outputs in
inference, and a step of gradient descent in training: its loss, and, from the weights after it, gradients and moving
statistics. float64 by default, where nothing but an error can make a difference: in float32 a deep net amplifies
rounding. A gradient that is 0 but for rounding, such as that of a bias before the layer, counts by the largest of all.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import evenbatch as eb

SHAPE = (96, 96, 3)


def names() -> list[str]:
    """The models, as functions of keras.applications; those of grouped convolutions last, which take minutes."""
    found = [name for name in dir(keras.applications) if name[0].isupper()]
    return sorted(found, key=lambda name: (name.startswith("ConvNeXt"), name))


def made(name: str) -> Any:
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, include_top=False, pooling="avg", input_shape=SHAPE)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        model(images(1, keras.config.floatx()), training=True)
    draw = np.random.default_rng(0)
    for layer in norms:
        layer.momentum = 0.99
        layer.set_weights([w * draw.uniform(0.8, 1.2, w.shape) for w in layer.get_weights()])
    return model


def images(seed: int, dtype: str) -> Any:
    return np.random.default_rng(seed).normal(size=(2, *SHAPE)).astype(dtype)


def stepped(model: Any, x: Any) -> tuple[float, list[Any]]:
    """Loss and weights of one step with the rate 1, so that the weights tell the gradients."""
    model.compile(keras.optimizers.SGD(1.0), "mse", run_eagerly=keras.backend.backend() == "tensorflow")
    y = np.random.default_rng(2).normal(size=(len(x), model.output_shape[-1])).astype(x.dtype)
    return float(model.train_on_batch(x, y)), model.get_weights()


def difference(one: list[Any], other: list[Any]) -> float:
    """The largest difference, relative to the size of its array, or to a millionth of the largest array's."""
    least = 1e-6 * max(float(np.abs(b).max(initial=0)) for b in other)
    pairs = zip(one, other, strict=True)
    return max(float(np.abs(a - b).max(initial=0) / max(np.abs(b).max(initial=0), least)) for a, b in pairs)


def measured(name: str, dtype: str) -> dict[str, Any]:
    model = made(name)
    x = images(3, dtype)
    begin = time.perf_counter()
    new, report = eb.upgrade(model, return_report=True)
    seconds = time.perf_counter() - begin
    back = eb.to_keras(new, synchronized=False)
    same_configuration = back.get_config() == model.get_config()
    outputs = [one.predict_on_batch(x) for one in (model, new, back)]
    before = model.get_weights()
    loss, after = stepped(model, x)
    found = [stepped(one, x) for one in (new, back)]
    moved = [a - b for a, b in zip(after, before, strict=True)]
    return {
        "model": name,
        "exchanged": len(report.exchanged()),
        "seconds": seconds,
        "same_configuration": same_configuration,
        "inference": difference(outputs[1:], [outputs[0]] * 2),
        "loss": max(abs(one - loss) / abs(loss) for one, _ in found),
        "step": max(difference([w - b for w, b in zip(one, before, strict=True)], moved) for _, one in found),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    keras.config.set_floatx(words.dtype)
    rows = []
    for name in words.only or names():
        rows.append(measured(name, words.dtype))
        print(
            "{model:22} {exchanged:4} layers {seconds:6.1f} s  same configuration: {same_configuration}  inference "
            "{inference:.0e}  loss {loss:.0e}  step {step:.0e}".format(**rows[-1]),
            flush=True,
        )
    if words.json:
        words.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
