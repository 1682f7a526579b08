"""The yardstick of one data set: generated images in, one row of measurements out."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from evenbatch.datasets import Dataset
from evenbatch.errors import InvalidArgument, InvalidData, require_count
from evenbatch.gan.yardstick import histogram
from evenbatch.gan.yardstick.distances import frechet, gaussian, kernel_distance, kernel_sample
from evenbatch.gan.yardstick.judge import Array, Judge
from evenbatch.gan.yardstick.neighbours import Neighbours
from evenbatch.gan.yardstick.space import Space

MOST_NEIGHBOURS = 60_000
FEWEST = 3  # of which leaving one out leaves two
SEED = 20170626
COLLAPSED = 0.05

DISTANCES = ("frechet", "kernel", "kernel_low", "kernel_high", "cross_frechet")
LOOKS = ("classes", "entropy", "confidence", "nearest", "diversity")


class Yardstick:
    """Compares sets of images with real ones, by the features of a judge.

    The reference is a fixed random choice of training images. Two marks are measured against it in the same way: the
    floor, held-out images of the validation part, and the ceiling, uniform noise. These sets, and those to be measured,
    all have the same number of images, since the Fréchet distance grows as sets get smaller: a distance is compared
    with the floor of the same yardstick, never with 0. The ceiling is a mark and no bound: one image many times, or a
    class alone, may lie beyond it.

    The nearest neighbour of an image is searched among all training images, or 60,000 of them.

    Args:
        dataset: The judge's data set, images in [-1, 1].
        judge: Its judge.
        samples: How many images a set should have; fewer where the validation or the training part has fewer.

    Attributes:
        samples: How many images a set has.
        floor: `frechet, kernel, kernel_low, kernel_high, cross_frechet, classes, entropy, confidence, nearest,
            diversity` of held-out images.
        ceiling: The same of noise.

    Raises:
        InvalidArgument: `samples` is no integer of at least 1.
        InvalidData: a set would have fewer than 3 images.
    """

    def __init__(self, dataset: Dataset, judge: Judge, samples: int = 2_000) -> None:
        self.judge = judge
        self.samples = min(require_count("samples", samples), len(dataset.val), len(dataset.train))
        if self.samples < FEWEST:
            raise InvalidData(f"a set must have at least {FEWEST} images to be compared, received {self.samples}")
        self._shape = (self.samples, *dataset.input_shape)
        rng = np.random.default_rng(SEED)
        self._learn(_choice(dataset.train.x, MOST_NEIGHBOURS, rng), rng)
        self._mark(_choice(dataset.val.x, self.samples, rng), rng)

    def _learn(self, images: Array, rng: np.random.Generator) -> None:
        """Keeps what it needs of the training images, which are looked at only here."""
        features, _ = self.judge.main.outputs(images)
        reference = np.sort(rng.choice(len(images), self.samples, replace=False))
        self._main = Space(features[reference])
        self._cross = Space(self.judge.cross.outputs(images[reference])[0])
        features = self._main.standardized(features)
        self._reference = kernel_sample(features[reference])
        self._neighbours = Neighbours(features)

    def _mark(self, held_out: Array, rng: np.random.Generator) -> None:
        features = self._main.standardized(self.judge.main.outputs(held_out)[0])
        self._fresh = float(np.median(self._neighbours.distances(features)))
        self.floor = self._judged(held_out)
        self.ceiling = self._judged(rng.uniform(-1, 1, self._shape).astype("float32"))

    def measure(self, images_by_statistics: Mapping[str, Array]) -> dict[str, float]:
        """One row of measurements.

        Args:
            images_by_statistics: For each mode of sampling ("moving", "batch", "recalibrated") its images, of shape
                (samples, height, width, channels). The very same array under several modes is measured once.

        Returns:
            `frechet_MODE`, `kernel_MODE` with its interval `kernel_low_MODE` and `kernel_high_MODE`, and
            `cross_frechet_MODE` of each mode, and of the first one `classes`,
            `entropy`, `confidence`, `nearest` and `diversity`. Of images that are not finite all are NaN.

        Raises:
            InvalidArgument: there is no mode, or images are of another number or shape.
        """
        if not images_by_statistics:
            raise InvalidArgument("images_by_statistics must hold the images of at least one mode, received none")
        for mode, images in images_by_statistics.items():
            self._require_set(mode, images)
        first = next(iter(images_by_statistics.values()))
        distinct = {id(images): images for images in images_by_statistics.values()}
        judged = {key: self._judged(images, looks=images is first) for key, images in distinct.items()}
        by_mode = {
            f"{name}_{mode}": judged[id(images)][name]
            for name in DISTANCES
            for mode, images in images_by_statistics.items()
        }
        return by_mode | {name: judged[id(first)][name] for name in LOOKS}

    def class_shares(self, images: Array) -> list[float] | None:
        """For each class, the share of images that the judge takes for it; None of images that are not finite."""
        if not np.isfinite(images).all():
            return None
        shares: list[float] = histogram.shares(self.judge.main.outputs(images)[1]).tolist()
        return shares

    def describe(self) -> dict[str, Any]:
        """The judge's hash and accuracies, the number of images in a set, floor and ceiling."""
        return {
            "judge": self.judge.sha256,
            "accuracy": self.judge.accuracy,
            "cross_accuracy": self.judge.cross_accuracy,
            "samples": self.samples,
            "floor": self.floor,
            "ceiling": self.ceiling,
        }

    def _require_set(self, mode: str, images: Array) -> None:
        if images.shape != self._shape:
            raise InvalidArgument(
                f"images of {mode!r} must have the shape {self._shape}, received {images.shape}; "
                "distances of sets of other sizes cannot be compared"
            )

    def _judged(self, images: Array, *, looks: bool = True) -> dict[str, float]:
        if not np.isfinite(images).all():
            return dict.fromkeys((*DISTANCES, *LOOKS), float("nan"))
        features, probabilities = self.judge.main.outputs(images)
        features = self._main.standardized(features)
        judged = self._distances(images, features)
        return judged | self._looks(features, probabilities) if looks else judged

    def _distances(self, images: Array, features: Array) -> dict[str, float]:
        cross = self._cross.standardized(self.judge.cross.outputs(images)[0])
        distance = kernel_distance(self._reference, kernel_sample(features))
        return {
            "frechet": frechet(self._main.reference, gaussian(features)),
            "kernel": distance.value,
            "kernel_low": distance.low,
            "kernel_high": distance.high,
            "cross_frechet": frechet(self._cross.reference, gaussian(cross)),
        }

    def _looks(self, features: Array, probabilities: Array) -> dict[str, float]:
        shares = histogram.shares(probabilities)
        away = float(np.median(self._neighbours.distances(features)))
        return {
            "classes": histogram.present(shares),
            "entropy": histogram.evenness(shares),
            "confidence": histogram.confidence(probabilities),
            # Held-out images may all be copies of training images: then there is nothing to compare with.
            "nearest": away / self._fresh if self._fresh > 0 else float("nan"),
            "diversity": gaussian(features).total_variance / self._main.reference.total_variance,
        }


def collapsed(row: Mapping[str, float | None]) -> bool:
    """Whether a measured row is of images with hardly any difference among them: a diversity below 0.05."""
    diversity = row.get("diversity")
    return diversity is not None and diversity < COLLAPSED


def columns(modes: Iterable[str]) -> list[str]:
    """The names in a row of these modes, in the order of `Yardstick.measure`."""
    listed = list(modes)
    return [f"{name}_{mode}" for name in DISTANCES for mode in listed] + list(LOOKS)


def _choice(images: Array, most: int, rng: np.random.Generator) -> Array:
    """At most so many of the images, chosen at random."""
    if len(images) <= most:
        return images
    return np.asarray(images[np.sort(rng.choice(len(images), most, replace=False))])
