"""What the networks share: the normalization that is plugged in, and checks of their options."""

from collections.abc import Callable
from typing import Any

from evenbatch.errors import InvalidArgument
from evenbatch.layers import BatchNormalization

Normalize = bool | Callable[[], Any]
"""True for `eb.BatchNormalization()`, False for none, or a function without arguments that returns a new layer."""


class Normalization:
    """Makes the normalization layers of one network, or none."""

    def __init__(self, normalize: Normalize) -> None:
        if not isinstance(normalize, bool) and not callable(normalize):
            raise InvalidArgument(
                f"normalize must be True, False or a function that returns a new layer, received {normalize!r}; "
                "a layer itself cannot be used in several places: pass lambda: that layer"
            )
        self._normalize = normalize
        self._made = 0

    def __bool__(self) -> bool:
        return self._normalize is not False

    def __call__(self, x: Any) -> Any:
        """Applies a new normalization layer to `x`, or returns `x` where the network has none."""
        if not self:
            return x
        self._made += 1
        if callable(self._normalize):
            return self._normalize()(x)
        return BatchNormalization(name=f"norm_{self._made}")(x)


def require_not_negative(name: str, value: float) -> None:
    """Refuses what is no number of at least 0."""
    if not _is_number(value) or not 0 <= value < float("inf"):
        raise InvalidArgument(f"{name} must be a finite number of at least 0, received {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
