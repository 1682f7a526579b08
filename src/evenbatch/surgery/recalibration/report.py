"""What recalibration did, layer by layer."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Recalibrated:
    """One normalization of the model.

    Attributes:
        path: Where it is.
        layer: Its class.
        done: What became of its statistics: "recalibrated" or "kept".
        reason: Why they were kept, or what is to be known of them; empty where there is nothing to say.
        count: Values per channel that they are those of.
        mean_moved: By how many standard deviations of the population a channel's mean has moved, at most; None where
            it was no number before.
        variance_ratio: The new variance over the old one, in the channels where it is lowest and highest; None where
            a variance was 0 or no number before.
    """

    path: str
    layer: str
    done: str
    reason: str = ""
    count: int = 0
    mean_moved: float | None = None
    variance_ratio: tuple[float, float] | None = None


@dataclass(frozen=True)
class RecalibrationReport:
    """What was done.

    Attributes:
        layers: The normalizations, in the order of the model.
        batches: How many batches the statistics are those of, on all ranks together.
        examples: How many examples.
        stages: In how many stages the layers were taken, each of them a pass over the data or a part of one.
        settled: Whether reading stopped early, since the estimates had settled.
        notes: What is to be known of the whole, a sentence each.
    """

    layers: tuple[Recalibrated, ...]
    batches: int
    examples: int
    stages: int
    settled: bool = False
    notes: tuple[str, ...] = ()

    def recalibrated(self) -> list[Recalibrated]:
        """The layers that have new statistics."""
        return [one for one in self.layers if one.done == "recalibrated"]

    def sentences(self) -> list[str]:
        """The report as text, a sentence each."""
        done = self.recalibrated()
        early = ", after which the estimates had settled" if self.settled else ""
        first = (
            f"{_count(len(done), 'batch normalization layer')} recalibrated on {_count(self.examples, 'example')} in "
            f"{_count(self.batches, 'batch', 'batches')}{early}; {_count(self.stages, 'stage')}."
        )
        moved = [one for one in done if one.mean_moved is not None]
        most = max(moved, key=lambda one: one.mean_moved or 0.0, default=None)
        shift = [f"The means moved most at {most.path}, by {most.mean_moved:.2g} standard deviations."] if most else []
        places = [f"{one.path} ({one.layer}) {one.done}: {one.reason}." for one in self.layers if one.reason]
        return [first, *shift, *self.notes, *places]

    def as_json(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return asdict(self)


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"
