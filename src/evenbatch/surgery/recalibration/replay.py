"""A model's program run for a stage and a batch: only the steps that are needed, from the values that were kept.

What a stage has computed and later stages need is kept, batch by batch, as long as all of it fits in `MEMORY`. Where it
does, a deep model costs about as much as one pass over the data; a batch whose values do not fit is computed again from
what was kept of it before, in the beginning from the model's inputs.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from evenbatch.surgery.recalibration.feeds import bytes_of
from evenbatch.surgery.recalibration.order import Program, Stages, Step

MEMORY = 2**30
"""Bytes of values that are kept from one stage to the next."""

Values = dict[Any, Any]
Run = Callable[[Step, list[int], Values], Values]
"""Runs a step while these layers are listened to; gives the values that it gives."""


@dataclass(frozen=True)
class _Part:
    """What is done for a batch in a stage.

    Attributes:
        steps: The positions of the steps to be run, in order, and the layers to listen to in each.
        last_use: By value, the position after which nobody takes it.
        kept: The values that later stages start from.
        reads: Whether it starts from the model's inputs.
    """

    steps: list[tuple[int, list[int]]]
    last_use: dict[Any, int]
    kept: set[Any]
    reads: bool


class Replay:
    """Runs the stages of a program.

    Args:
        plan: The program.
        order: Its stages.
        run: Runs a step.
    """

    def __init__(self, plan: Program, order: Stages, run: Run) -> None:
        self._plan, self._order, self._run = plan, order, run
        self._source = {value: i for i, step in enumerate(plan.steps) for value in step.gives}
        self._settled = self._stages_from_which_values_stay()
        self._kept: dict[int, Values] = {}
        self._bytes = 0
        self._parts: dict[tuple[int, frozenset[Any]], _Part] = {}

    def reads(self, stage: int, batch: int) -> bool:
        """Whether the batch's inputs are needed in that stage."""
        return self._part(stage, frozenset(self._kept.get(batch, ()))).reads

    def run(self, stage: int, batch: int, feeds: Values, *, keeps: bool) -> None:
        """Runs a stage for a batch.

        Args:
            stage: The stage.
            batch: The batch's number.
            feeds: The model's inputs, where the stage reads them.
            keeps: Whether values may be kept for the next stage, which takes the same batches.
        """
        known = {**self._kept.get(batch, {})}
        part = self._part(stage, frozenset(known))
        known |= feeds
        for i, hears in part.steps:
            known |= self._run(self._plan.steps[i], hears, known)
            for value in [one for one in known if part.last_use.get(one, i) <= i and one not in part.kept]:
                del known[value]
        if keeps:
            self._keep(batch, {value: known[value] for value in part.kept})

    def forget(self) -> None:
        """Gives up what was kept."""
        self._kept.clear()
        self._bytes = 0

    def _keep(self, batch: int, values: Values) -> None:
        """Keeps these values of a batch instead of those that it has, where they fit."""
        size = _bytes(values.values()) - _bytes(self._kept.get(batch, {}).values())
        if self._bytes + size <= MEMORY:
            self._kept[batch] = values
            self._bytes += size

    def _part(self, stage: int, known: frozenset[Any]) -> _Part:
        if (stage, known) not in self._parts:
            self._parts[stage, known] = self._planned(stage, known)
        return self._parts[stage, known]

    def _planned(self, stage: int, known: frozenset[Any]) -> _Part:
        heard: dict[int, list[int]] = {}
        for i, layer in self._order.hearings[stage]:
            heard.setdefault(i, []).append(layer)
        needed, starts = self._needed(heard, known)
        steps = sorted(needed | set(heard))
        last_use = {value: i for i in steps for value in self._plan.steps[i].takes}
        later = {i for hearings in self._order.hearings[stage + 1 :] for i, _ in hearings}
        stay = {v for i in steps if i not in heard and self._settled[i] <= stage for v in self._plan.steps[i].gives}
        kept = self._needed(later, known | stay)[1] - set(self._plan.feeds)
        return _Part([(i, heard.get(i, [])) for i in steps], last_use, kept, bool(starts & set(self._plan.feeds)))

    def _needed(self, steps: Iterable[int], known: frozenset[Any] | set[Any]) -> tuple[set[int], set[Any]]:
        """The steps that compute what these steps take, and the values that all of it starts from."""
        found: set[int] = set()
        starts: set[Any] = set()
        waiting = [value for i in steps for value in self._plan.steps[i].takes]
        while waiting:
            value = waiting.pop()
            if value in known or value not in self._source:
                starts.add(value)
            elif (i := self._source[value]) not in found:
                found.add(i)
                waiting.extend(self._plan.steps[i].takes)
        return found, starts

    def _stages_from_which_values_stay(self) -> list[int]:
        """For each step, the first stage in which all statistics that its values depend on are final."""
        found: list[int] = []
        for step in self._plan.steps:
            sources = [self._source[value] for value in step.takes if value in self._source]
            own = [self._order.final_after[layer] + 1 for layer in step.hears]
            found.append(max([*own, *(found[i] for i in sources)], default=0))
        return found


def _bytes(tensors: Iterable[Any]) -> int:
    return sum(map(bytes_of, tensors))
