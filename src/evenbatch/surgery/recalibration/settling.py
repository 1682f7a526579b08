"""The statistics of a model's normalizations, taken stage by stage and put in."""

from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from evenbatch import graph, sharing
from evenbatch.errors import InvalidData, UnsupportedModel
from evenbatch.surgery.recalibration.batches import Batches
from evenbatch.surgery.recalibration.feeds import Feeds, examples
from evenbatch.surgery.recalibration.listening import Ears, listening
from evenbatch.surgery.recalibration.options import Options
from evenbatch.surgery.recalibration.order import Program, Stages, Step, at_once, program, stages
from evenbatch.surgery.recalibration.population import Population
from evenbatch.surgery.recalibration.progress import Watch
from evenbatch.surgery.recalibration.replay import Replay
from evenbatch.surgery.recalibration.running import by_itself, loops_in_python
from evenbatch.surgery.recalibration.settled import Settled
from evenbatch.surgery.recalibration.statistics import put_in
from evenbatch.surgery.recalibration.tally import Tally
from evenbatch.surgery.recalibration.targets import Targets


@dataclass(frozen=True)
class Outcome:
    """What was found.

    Attributes:
        populations: What each layer has met.
        circular: The layers that stand before themselves, by position.
        repeated: The layers that are called several times in code.
        batches: How many batches were read, on all processes together.
        examples: How many examples.
        stages: In how many stages the layers were taken.
        settled: Whether reading stopped early.
    """

    populations: list[Population]
    circular: list[int]
    repeated: list[int]
    batches: int
    examples: int
    stages: int
    settled: bool


def settle(model: Any, targets: Targets, data: Any, options: Options, watch: Watch) -> Outcome:
    """Takes the statistics of a model's normalizations, and puts them in.

    The model is changed: its statistics on purpose, seeds and other states by running it.

    Args:
        model: The model.
        targets: Its normalizations.
        data: The user's data.
        options: How.
        watch: Is told how far it is.

    Raises:
        InvalidData: the data are of no form that is taken, are empty, or lead to inputs that are not finite.
        UnsupportedModel: values that are needed are hidden from us.
    """
    plan = program(model, targets.layers)
    if not any(step.hears for step in plan.steps):
        raise UnsupportedModel(
            f"{targets.sites[0].path} is not called on the way from the inputs of {model.name!r} to its outputs, so "
            "there is no data to recalibrate it on; pass the model that calls it"
        )
    feeds = Feeds(model, plan.feeds)
    batches = Batches(data, feeds, options.batch_size, options.max_batches)
    settling = _Settling(model, targets, feeds, batches, options, watch)
    layers = [site.layer for site in targets.found]
    watch.begin()
    try:
        with listening(layers, targets.every, settling.told) as ears, graph.losses_kept(targets.every):
            return settling.outcome(plan, ears)
    finally:
        watch.end()


class _Settling:
    """One recalibration; see `settle`."""

    def __init__(
        self, model: Any, targets: Targets, feeds: Feeds, batches: Batches, options: Options, watch: Watch
    ) -> None:
        self._model, self._strategy = model, graph.strategy_of(model)
        self._targets, self._feeds = targets, feeds
        self._batches, self._options, self._watch = batches, options, watch
        self._layers = targets.layers
        self._place = {id(layer): i for i, layer in enumerate(self._layers)}
        self._of_batch: dict[int, Population] = {}
        self._repeated: set[int] = set()
        self._done = 0

    def told(self, layer: Any, values: Population) -> None:
        """A layer was given these values."""
        self._of_batch.setdefault(self._place[id(layer)], Population.empty(len(values.mean))).add(values)

    def outcome(self, plan: Program, ears: Ears) -> Outcome:
        """Goes through the data."""
        self._ears, one_pass = ears, self._options.one_pass
        plan = plan if one_pass else self._in_order_of_calls(plan)
        order = at_once(plan) if one_pass else stages(plan)
        stop = Settled(self._options.tolerance) if self._options.tolerance is not None else None
        self._passes = len(order.hearings)
        if stop is not None and not one_pass:
            self._passes += 1
            first = at_once(plan)
            self._batches.limit = max(self._stage(self._replay(plan, first), first, 0, stop).batches, 1)
        totals = [self._nothing([i])[i] for i in range(len(self._layers))]
        replay = self._replay(plan, order)
        for stage, hearings in enumerate(order.hearings):
            met = self._stage(replay, order, stage, stop if one_pass else None).of_all_processes(self._strategy)
            self._check(met, dict.fromkeys(layer for _, layer in hearings))
            self._put_in(met, totals)
        is_early = stop is not None and stop.is_reached
        odd = order.circular, sorted(self._repeated)
        return Outcome(totals, *odd, met.batches, met.examples, len(order.hearings), is_early)

    def _replay(self, plan: Program, order: Stages) -> Replay:
        def listen(step: Step, hears: list[int]) -> None:
            self._ears.on = {id(self._layers[i]) for i in hears}
            in_vain = not step.is_opaque and not order.at_once
            self._ears.gives = "its own moments" if order.at_once else "nothing" if in_vain else "inference"

        def run(step: Step, hears: list[int], known: Any) -> Any:
            listen(step, hears)
            return self._run(step, known)

        return Replay(plan, order, run)

    def _stage(self, replay: Replay, order: Stages, stage: int, stop: Settled | None) -> Tally:
        """One pass over the batches of this process."""
        met = self._tally(dict.fromkeys(layer for _, layer in order.hearings[stage]))
        for number, inputs in enumerate(self._batches):
            self._of_batch = {}
            feeds = self._feeds.values(inputs) if replay.reads(stage, number) else {}
            replay.run(stage, number, feeds, keeps=self._batches.at_hand)
            met.add(self._of_batch, examples(inputs))
            self._done += 1
            count = self._batches.count
            self._watch.step(self._done, count and count * self._passes)
            if stop is not None and stop.after(self._of_batch):
                break
        if not self._batches.at_hand:  # the next pass may give others, or the same ones in another order
            replay.forget()
        return met

    def _run(self, step: Step, known: Any) -> Any:
        """Runs a step; what it raises is told as one sentence."""
        try:
            with by_itself(), loops_in_python() if step.is_opaque else nullcontext():
                return step.run(known, self._options.dropout)
        except Exception as error:
            if (deaf := self._ears.deaf) is not None:
                raise UnsupportedModel(
                    f"{deaf.path or deaf.name}: the values that this layer is given are hidden in a loop or function "
                    f"that {keras.backend.backend()} compiles, so their statistics cannot be taken; call it outside"
                ) from error
            raise InvalidData(
                f"data must be what the model can be called on, and {step.name} cannot be called on these: "
                f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
            ) from error

    def _in_order_of_calls(self, plan: Program) -> Program:
        """The program, in which every layer that calls several normalizations has them in the order of their calls.

        Which that is, the first batch tells; where processes share the data, the first of them that has one.
        """
        asked = [i for i, step in enumerate(plan.steps) if step.is_opaque]
        if not asked:
            return plan
        ranks = self._ranks_of_calls(plan, asked)
        rows = sharing.rows_of_all_processes(ranks, self._strategy)
        told = next((row for row in rows if row[0]), rows[0])[1:].reshape(-1, 2)
        steps, end = list(plan.steps), 0
        for i in asked:
            begin, end = end, end + len(steps[i].hears)
            calls = zip(steps[i].hears, told[begin:end, 1], strict=True)
            self._repeated |= {layer for layer, count in calls if count > 1}
            rank: dict[int, float] = dict(zip(steps[i].hears, told[begin:end, 0], strict=True))
            steps[i] = replace(steps[i], hears=sorted(steps[i].hears, key=rank.__getitem__))
        return Program(steps, plan.feeds)

    def _ranks_of_calls(self, plan: Program, asked: list[int]) -> Any:
        """Whether there is a batch, and for each step that is asked when and how often it calls each layer it hears."""
        first = next(iter(self._batches), None)
        found = [float(first is not None)]
        known = self._feeds.values(first) if first is not None else {}
        self._ears.on = ()
        for i, step in enumerate(plan.steps[: asked[-1] + 1]):
            self._ears.called.clear()
            known |= self._run(step, known) if first is not None else {}
            when = {layer: place for place, layer in enumerate(self._ears.called)}
            for one in [id(self._layers[layer]) for layer in step.hears] if i in asked else []:
                found += [float(when.get(one, len(when))), float(self._ears.called.get(one, 0))]
        return np.array(found)

    def _check(self, met: Tally, layers: Iterable[int]) -> None:
        if not met.batches:
            raise InvalidData("data must hold at least one example, received none")
        if (layer := met.first_not_finite(layers)) is not None:
            raise InvalidData(
                f"{self._targets.sites[layer].path}: the inputs of this layer are not finite, or so large that their "
                "variance is not, though no normalization before it is to blame; look for NaN or infinities in the "
                "data, and in the weights of the layers before it"
            )

    def _put_in(self, met: Tally, totals: list[Population]) -> None:
        with graph.where_it_lives(self._model):
            for layer, population in met.populations.items():
                totals[layer].add(population)
                put_in(self._layers[layer], totals[layer])

    def _tally(self, layers: Iterable[int]) -> Tally:
        return Tally({layer: int(self._layers[layer].moving_mean.shape[0]) for layer in layers})

    def _nothing(self, layers: Iterable[int]) -> dict[int, Population]:
        return self._tally(layers).populations
