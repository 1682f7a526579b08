"""A judge: two trained classifiers as plain arrays, which travel to other processes and have a hash."""

import hashlib
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import keras
import numpy as np

from evenbatch.gan.yardstick.network import ARCHITECTURE, network

Array = np.ndarray[Any, np.dtype[Any]]

BATCH = 512


@dataclass(frozen=True, eq=False)
class Classifier:
    """One trained network of `network.py`.

    Attributes:
        shape: Of one image, (height, width, channels).
        classes: Number of classes.
        normalized: Whether it has batch normalization.
        weights: Its arrays, in Keras' order.
        accuracy: The share of the held-out images that it classifies right; NaN before it is known.
    """

    shape: tuple[int, ...]
    classes: int
    normalized: bool
    weights: tuple[Array, ...]
    accuracy: float

    @cached_property
    def sha256(self) -> str:
        """Of the architecture's version, the form and the weights."""
        digest = hashlib.sha256(f"{ARCHITECTURE} {self.shape} {self.classes} {self.normalized}".encode())
        for array in self.weights:
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def outputs(self, images: Array) -> tuple[Array, Array]:
        """Features (n, 64) and class probabilities (n, classes), both float64, in inference mode.

        Args:
            images: (n, *shape); what lies outside [-1, 1] is seen as it would be saved in a picture: cut off there.
        """
        batches = [self._of_batch(images[start : start + BATCH]) for start in range(0, max(len(images), 1), BATCH)]
        features, logits = (np.concatenate(part) for part in zip(*batches, strict=True))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
        return features, odds / odds.sum(axis=1, keepdims=True)

    def _of_batch(self, images: Array) -> tuple[Array, Array]:
        # Always a full batch: another size would be compiled anew.
        batch = np.zeros((BATCH, *self.shape), "float32")
        batch[: len(images)] = np.clip(images, -1, 1)
        features, logits = self._network.predict_on_batch(batch)
        return features[: len(images)].astype("float64"), logits[: len(images)].astype("float64")

    @cached_property
    def _network(self) -> Any:
        net = network(self.shape, self.classes, normalized=self.normalized)
        net.set_weights(self.weights)
        net.compile(jit_compile=jitted())
        return net

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: a network does not travel."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, eq=False)
class Judge:
    """The two classifiers of a data set.

    Attributes:
        main: With batch normalization; its features are what images are compared by.
        cross: Another seed and no normalization: a ranking of generators with and without batch normalization must not
            hang on the judge's having it.
    """

    main: Classifier
    cross: Classifier

    @property
    def sha256(self) -> str:
        """Of both classifiers: distances of judges with another hash are not comparable."""
        return hashlib.sha256(f"{self.main.sha256} {self.cross.sha256}".encode()).hexdigest()

    @property
    def accuracy(self) -> float:
        """Held-out accuracy of the main classifier."""
        return self.main.accuracy

    @property
    def cross_accuracy(self) -> float:
        """Held-out accuracy of the cross classifier."""
        return self.cross.accuracy

    def outputs(self, images: Array) -> tuple[Array, Array]:
        """Features and class probabilities of the main classifier; see `Classifier.outputs`."""
        return self.main.outputs(images)


def jitted() -> bool:
    """Whether these networks are worth compiling by XLA: JAX cannot do without, the others only wait longer."""
    return bool(keras.backend.backend() == "jax")
