"""What `eb.recalibrate` is told besides the model and the data."""

import math
from dataclasses import dataclass
from numbers import Real

from evenbatch.errors import InvalidArgument, require_count


@dataclass(frozen=True)
class Options:
    """The options, checked; `eb.recalibrate` says what they mean."""

    batch_size: int = 32
    max_batches: int | None = None
    one_pass: bool = False
    dropout: bool = False
    frozen: bool = False
    tolerance: float | None = None

    def __post_init__(self) -> None:
        require_count("batch_size", self.batch_size)
        if self.max_batches is not None:
            require_count("max_batches", self.max_batches)
        for name in ("one_pass", "dropout", "frozen"):
            if not isinstance(value := getattr(self, name), bool):
                raise InvalidArgument(f"{name} must be True or False, received {value!r}")
        number = self.tolerance
        is_number = isinstance(number, Real) and not isinstance(number, bool)
        if number is not None and not (is_number and math.isfinite(number) and number > 0):
            raise InvalidArgument(
                f"tolerance must be a number above 0, such as 0.01, or None to read all batches, received {number!r}"
            )
