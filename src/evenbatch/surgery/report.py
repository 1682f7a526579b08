"""What surgery did to a model, place by place, and why not elsewhere."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """One place in the model.

    Attributes:
        path: Where it is.
        layer: The class of the layer that was there.
        done: What became of it: "exchanged", "folded" or "kept".
        reason: Why it was kept, or what is to be known of the exchange; empty where there is nothing to say.
        into: Of a layer that was folded, the paths of those that took it in.
    """

    path: str
    layer: str
    done: str
    reason: str = ""
    into: tuple[str, ...] = ()


@dataclass(frozen=True)
class SurgeryReport:
    """What was done, and what was checked.

    Attributes:
        changes: A place each, in the order of the model.
        notes: What is to be known of the whole, a sentence each.
        largest_difference: The largest difference of an output of old and new model in inference, relative to the
            largest value of that output; None where the model could not be run on made-up inputs.
        rounding: By how much the outputs of the given model change where every weight of it is rounded once, relative
            to their size; None where the difference is small, so that it was not asked for.
        largest_at_places: The largest difference at a place where something was folded, run by itself, relative to
            the largest value of its channel; None where nothing was to be folded.
    """

    changes: tuple[Change, ...]
    notes: tuple[str, ...] = ()
    largest_difference: float | None = None
    rounding: float | None = None
    largest_at_places: float | None = None

    def exchanged(self) -> list[Change]:
        """The places where a layer was exchanged."""
        return self._with("exchanged")

    def folded(self) -> list[Change]:
        """The places where a layer was folded into others."""
        return self._with("folded")

    def kept(self) -> list[Change]:
        """The places where a layer was kept, and where something is to be said of it."""
        return self._with("kept")

    def sentences(self) -> list[str]:
        """The report as text, a sentence each."""
        done = [_counted(len(found), word) for word in ("exchanged", "folded") if (found := self._with(word))]
        places = [f"{one.path} ({one.layer}) {one.done}: {one.reason}." for one in self.changes if one.reason]
        at_places = [] if self.largest_at_places is None else [_at_places(self.largest_at_places)]
        return [*done, *self.notes, *places, *at_places, _checked(self.largest_difference, self.rounding)]

    def _with(self, done: str) -> list[Change]:
        return [change for change in self.changes if change.done == done]

    def as_json(self) -> dict[str, Any]:
        """Every field, for JSON."""
        return asdict(self)


def _counted(count: int, done: str) -> str:
    return f"{count} batch normalization layer{'' if count == 1 else 's'} {done}."


def _at_places(difference: float) -> str:
    if difference == 0:
        return "Each place was run by itself, before and after; values are equal."
    return f"Each place was run by itself, before and after; values differ by {difference:.0e} of their size at most."


def _checked(difference: float | None, rounding: float | None) -> str:
    if difference is None:
        return "Structure and weights were compared; the outputs were not, since no made-up inputs fit the model."
    if difference == 0:
        return "Structure, weights and outputs were compared; they are equal."
    found = f"Structure, weights and outputs were compared; outputs differ by {difference:.0e} of their size at most"
    return f"{found}." if rounding is None else f"{found}, and rounding each weight once moves them by {rounding:.0e}."
