"""What folding does to the models of keras.applications: are they the same, and how long do they take?

    python benchmarks/folding.py --what agreement [--only NAME ...] [--dtype float64] [--json FILE]
    python benchmarks/folding.py --what speed [--only NAME ...] [--rounds 40] [--json FILE]

`agreement`: random weights, moving statistics of a pass in training and 20 % off, two 96×96 images. Compared are the
values at every place where a normalization was folded, in the net as it runs, relative to the largest of the place; by
how much these change where every weight of the given model is rounded once more; and the outputs. float64 by default,
where nothing but an error can make a difference: in float32 some of these nets amplify rounding to all of it. `speed`:
`predict_on_batch` of 8 images of 224×224, in turns: with Keras' layers, with ours, folded, without any normalization
(which computes something else), and ONNX Runtime on the exported original, where it is installed; where normalizations
stay, also with ours in their places, and with one multiplication and one addition. Given are medians in milliseconds,
and medians of ratios to the time with Keras' layers of the same round.
"""

import argparse
import json
import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import evenbatch as eb
from evenbatch.bench.interleave import interleave
from evenbatch.sites import sites
from evenbatch.surgery.promise import rounded
from evenbatch.surgery.rebuild import rebuild
from evenbatch.surgery.twins import Gone

NORM = keras.layers.BatchNormalization
FIVE = ["MobileNetV2", "ResNet50", "InceptionV3", "EfficientNetB0", "DenseNet121"]
OF_ONE_SIZE = {"NASNetMobile": 224, "NASNetLarge": 331}


def names() -> list[str]:
    """The models with normalization, as functions of keras.applications."""
    without = ("ConvNeXt", "VGG")
    return [name for name in dir(keras.applications) if name[0].isupper() and not name.startswith(without)]


def made(name: str, size: int) -> Any:
    """A model with statistics that fit its weights, and that nobody would guess."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    size = OF_ONE_SIZE.get(name, size)
    model = getattr(keras.applications, name)(weights=None, input_shape=(size, size, 3), classes=100)
    norms = [site.layer for site in sites(model) if isinstance(site.layer, NORM)]
    for layer in norms:
        layer.momentum = 0.0
    model(images(2, size, 1), training=True)
    draw = np.random.default_rng(0)
    for layer in norms:
        layer.momentum = 0.99
        layer.set_weights([w * draw.uniform(0.8, 1.2, w.shape) for w in layer.get_weights()])
    return model


def images(count: int, size: int, seed: int) -> Any:
    return np.random.default_rng(seed).normal(size=(count, size, size, 3)).astype(keras.config.floatx())


def agreement(name: str, _: int) -> dict[str, Any]:
    model = made(name, 96)
    begin = time.perf_counter()
    new, report = eb.fold(model, return_report=True)
    seconds = time.perf_counter() - begin
    x = images(2, model.input_shape[1], 3)
    folded = report.folded()
    # Where one goes into several layers, what these give together is not there any more by itself.
    alone = [one for one in folded if len(one.into) == 1]
    before, after = (
        keras.Model(one.input, [one.get_layer(path).output for path in paths] + [one.output])(x, training=False)
        for one, paths in ((model, [one.path for one in alone]), (new, [one.into[0] for one in alone]))
    )
    found = [difference(a, b) for a, b in zip(before, after, strict=True)]
    with keras.StatelessScope(state_mapping=rounded(model.variables, float(np.finfo(keras.config.floatx()).eps))):
        ends = [model.get_layer(one.path).output for one in alone]
        again = keras.Model(model.input, [*ends, model.output])(x, training=False)
    moved = [difference(a, b) for a, b in zip(before, again, strict=True)]
    return {
        "model": name,
        "normalizations": len(folded) + len(report.kept()),
        "folded": len(folded),
        "by itself": report.largest_at_places,
        "in the net": max(found[:-1]),
        "rounding": max(moved[:-1]),
        "outputs": found[-1],
        "seconds": round(seconds, 1),
    }


def difference(a: Any, b: Any) -> float:
    a, b = keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b)
    return float(np.abs(a - b).max() / np.abs(a).max())


def speed(name: str, rounds: int) -> dict[str, Any]:
    model = made(name, 224)
    x = images(8, model.input_shape[1], 3)
    folded, report = eb.fold(model, return_report=True)
    arms = {"keras": model, "ours": eb.upgrade(model), "folded": folded, "none": without(model)}
    if report.kept():
        arms |= {"folded, rest ours": eb.upgrade(folded), "folded, rest multiply-add": multiplied(folded)}
    calls = {arm: (lambda one=one: one.predict_on_batch(x)) for arm, one in arms.items()}
    if (session := onnx(model)) is not None:
        calls["onnx"] = lambda: session.run(None, {session.get_inputs()[0].name: x})[0]
    samples = interleave(calls, lambda result: None, rounds=rounds)
    row: dict[str, Any] = {"model": name}
    for arm, seconds in samples.items():
        row[arm] = round(1e3 * float(np.median(seconds)), 1)
    for arm in samples:
        row[f"{arm}/keras"] = ratio(samples[arm], samples["keras"])
    return {**row, "folded/none": ratio(samples["folded"], samples["none"])}


def ratio(seconds: list[float], others: list[float]) -> float:
    return round(float(np.median(np.divide(seconds, others))), 3)


def without(model: Any) -> Any:
    """The same net with nothing in the place of its normalizations."""
    return rebuild(model, lambda layer: Gone() if isinstance(layer, NORM) else None).model


class MultiplyAdd(keras.layers.Layer):
    """What a normalization that stays could become: one multiplication and one addition."""

    def build(self, shape: Any) -> None:
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, x: Any, training: Any = None, mask: Any = None) -> Any:
        return x * self.gamma + self.beta


def multiplied(model: Any) -> Any:
    """The same net with a `MultiplyAdd` in the place of each normalization that is left; timed, and not compared."""
    return rebuild(model, lambda layer: MultiplyAdd(name=layer.name) if isinstance(layer, NORM) else None).model


def onnx(model: Any) -> Any | None:
    """The original in ONNX Runtime, as exported; None where the packages are missing."""
    try:
        import onnxruntime
    except ImportError:
        return None
    path = str(Path(tempfile.mkdtemp()) / "model.onnx")
    try:
        model.export(path, format="onnx", verbose=False)
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(path, options)
    return session if len(session.get_inputs()) == 1 else None  # of EfficientNet, Keras exports constants as inputs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=["agreement", "speed"], required=True)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    warnings.simplefilter("ignore")
    keras.config.set_floatx(words.dtype if words.what == "agreement" else "float32")
    measure = {"agreement": agreement, "speed": speed}[words.what]
    rows = []
    shown: list[str] = []
    for name in words.only or (names() if words.what == "agreement" else FIVE):
        rows.append(measure(name, words.rounds))
        if list(rows[-1]) != shown:  # not every model has every arm
            shown = list(rows[-1])
            print("\n| " + " | ".join(shown) + " |\n|" + "---|" * len(shown))
        cells = (f"{v:.0e}" if isinstance(v, float) and v < 0.1 else str(v) for v in rows[-1].values())
        print("| " + " | ".join(cells) + " |", flush=True)
    if words.json:
        words.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
