"""What the samples of one case say."""

from typing import Any

from evenbatch.bench.byte_floor import floor_seconds
from evenbatch.bench.interleave import Samples
from evenbatch.bench.spread import ratio, spread


def row(phase: str, samples: Samples, size: int = 0, bandwidth: float = 1.0) -> dict[str, Any]:
    """Seconds of each arm, ratios of arms, and, where there is one, how far each is from the floor.

    Args:
        phase: "training" or "inference".
        samples: Seconds a call, with "ours" and "keras" among the arms.
        size: Bytes of the tensor; 0 where there is no one tensor.
        bandwidth: Bytes a second that can move.
    """
    floor = floor_seconds(size, phase, bandwidth)
    seconds = {arm: spread(values) for arm, values in samples.items()}
    return {
        "phase": phase,
        "rounds": len(samples["ours"]),
        "seconds": seconds,
        "keras_over_ours": ratio(samples["keras"], samples["ours"]),
        **{f"ours_over_{arm}": ratio(samples["ours"], samples[arm]) for arm in samples if arm not in ("ours", "keras")},
        "floor_seconds": floor,
        "over_floor": {arm: found["median"] / floor for arm, found in seconds.items()} if floor else None,
    }
