"""What it means for a layer to take in what comes after it, or before it."""

from abc import ABC, abstractmethod
from typing import Any, Self

import numpy as np

from evenbatch.surgery.folding.affine import Affine, Array
from evenbatch.surgery.folding.refusal import Refused
from evenbatch.surgery.twins import made_of_config

_LIMITS = {"float16": 65504.0, "float32": float(np.finfo(np.float32).max), "bfloat16": 3.3e38}

_REGULARIZED = ("kernel", "bias", "depthwise", "pointwise", "gamma", "beta")


class Linear(ABC):
    """A layer with the affine maps that it has taken in, in float64. It is never changed, but made anew.

    Args:
        layer: A built layer of one of the classes that `linear` knows.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    @staticmethod
    @abstractmethod
    def channels(layer: Any, rank: int) -> int:
        """The axis of the channels of a layer's inputs and outputs, of that rank."""

    @abstractmethod
    def followed(self, after: Affine) -> Self:
        """The layer with what comes after it in it.

        Raises:
            Refused: it does not take that in.
        """

    @abstractmethod
    def preceded(self, before: Affine) -> Self:
        """The layer with what comes before it in it.

        Raises:
            Refused: it does not take that in.
        """

    @abstractmethod
    def values(self) -> dict[str, Array]:
        """Its weights, by the names of the variables."""

    @abstractmethod
    def _settings(self) -> dict[str, Any]:
        """The arguments in which its twin differs."""

    def twin(self) -> Any:
        """An unbuilt layer of the same kind that has a place for every value.

        Without regularizers and constraints: they were meant for weights that are others now.
        """
        dropped = [f"{name}_{what}" for name in _REGULARIZED for what in ("regularizer", "constraint")]
        own = self.layer.get_config()
        none = {key: None for key in [*dropped, "activity_regularizer"] if key in own}
        return made_of_config(self.layer, **none, **self._settings())

    def _in_range(self) -> Self:
        """The layer itself, where what it computes in holds its weights."""
        largest = max(float(np.abs(value).max(initial=0.0)) for value in self.values().values())
        if not largest < _LIMITS.get(self.layer.compute_dtype, np.inf):
            raise Refused(f"computes in {self.layer.compute_dtype}, and would get a weight of {largest:.0e}")
        return self
