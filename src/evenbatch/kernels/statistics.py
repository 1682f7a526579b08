"""What one batch says of its channels, in the form that every kernel gives and the layer follows."""

from typing import Any, NamedTuple


class Statistics(NamedTuple):
    """Count, mean and variance of a batch, channel by channel.

    Both moments are 0 where nothing was counted, so that an average in which they weigh nothing stays what it is.

    Attributes:
        count: Values per channel, the same for every channel: an int where the shape is known, else a scalar in the
            dtype of the moments.
        mean: Shape (channels,), float32, or float64 for float64 inputs.
        variance: Like `mean`. The biased one, the sum of squared deviations over `count`.
    """

    count: Any
    mean: Any
    variance: Any
