"""Images of three classes that are easy to tell apart, and a judge of them whose weights are drawn, not trained."""

from pathlib import Path

import numpy as np

from evenbatch import datasets
from evenbatch.gan.yardstick import keeping
from evenbatch.gan.yardstick.judge import Classifier, Judge
from evenbatch.gan.yardstick.network import network
from evenbatch.study import adversarial

SETTINGS = {"width": 2, "noise": 5, "measure_every": 2, "samples": 20}


def arrays(side=28, channels=1, rows=90):
    """Stripes at three places, with noise, as 8-bit pixels."""
    rng = np.random.default_rng(0)
    y = np.arange(rows) % 3
    stripe = (np.arange(side) % 3 == y[:, None])[:, :, None, None]
    x = np.clip(rng.normal(0.3, 0.1, (rows, side, side, channels)) + 0.4 * stripe, 0, 1)
    return {"x_train": (255 * x).astype("uint8"), "y_train": y}


def save(path: Path, **settings):
    """Those images as a file of the user's."""
    np.savez(path, **arrays(**settings))
    return path


def drawn(shape, normalized, seed):
    rng = np.random.default_rng(seed)
    weights = network(shape, 3, normalized=normalized).get_weights()
    values = [rng.normal(0, 0.2, weight.shape) if weight.ndim > 1 else weight for weight in weights]
    return Classifier(shape, 3, normalized, tuple(value.astype("float32") for value in values), 0.9)


def keep_a_judge(folder: Path, file: Path):
    """Puts a judge of a file into the cache, so that none is trained."""
    settings, _ = adversarial.settled(SETTINGS)
    dataset = adversarial.prepared(datasets.load(file, "image"), settings)
    judge = Judge(drawn(dataset.input_shape, True, 1), drawn(dataset.input_shape, False, 2))
    keeping.write(keeping.path_for(dataset, folder), judge)
    return judge
