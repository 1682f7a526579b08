"""A batch normalization that stays, and takes in others."""

from copy import copy
from typing import Any, Self

from evenbatch.surgery.folding.affine import Affine, Array, affine_of, deviation, numbers
from evenbatch.surgery.folding.taking import Linear


class Normalization(Linear):
    """Another batch normalization, which stays: gamma and beta take in what is around it.

    Attributes:
        affine: What it computes.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.affine = affine_of(layer, layer.path or layer.name)

    @staticmethod
    def channels(layer: Any, rank: int) -> int:
        """The axis that it keeps apart."""
        return int(layer.axis) % rank

    def followed(self, after: Affine) -> Self:
        """It with another map after it."""
        return self._of(after.of(self.affine))

    def preceded(self, before: Affine) -> Self:
        """It with another map before it."""
        return self._of(self.affine.of(before))

    def values(self) -> dict[str, Array]:
        """The gamma and beta that do all of it with the moving statistics as they are."""
        mean, scale = numbers(self.layer.moving_mean), self.affine.scale
        return {"gamma": scale * deviation(self.layer), "beta": self.affine.shift + mean * scale}

    def _settings(self) -> dict[str, Any]:
        return {"scale": True, "center": True}

    def _of(self, affine: Affine) -> Self:
        new = copy(self)
        new.affine = affine
        return new._in_range()
