"""In which order the statistics of a model's layers are taken, so that each layer sees its inputs as inference will.

A layer's inputs depend on the statistics of the layers before it. So the layers are taken in stages: those that no
other one stands before, then those that only these stand before, and so on. What the graph does not tell, in which
order a layer of the user's calls the normalizations that it holds, was listened to.

Layers that stand before themselves, since one is applied to what came of its own outputs, have no such order. Their
calls are taken one after another, each with the statistics of the calls before it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evenbatch import graph
from evenbatch.sites import Call, walk
from evenbatch.surgery.recalibration.targets import below

Hearing = tuple[int, int]
"""A step and a layer that is called in it, by their positions."""


@dataclass(eq=False)
class Step:
    """One call of a model's program.

    Attributes:
        name: What is called.
        takes: The values that it takes.
        gives: Those that it gives.
        hears: The layers, by position among those whose statistics are taken, that it calls; as far as is known in the
            order of their calls.
        is_opaque: Whether the layer that is called may call others in its own code.
        run: Computes the values that it gives, from a mapping with those that it takes, in training mode or not.
    """

    name: str
    takes: list[Any]
    gives: list[Any]
    hears: list[int]
    is_opaque: bool
    run: Callable[[Mapping[Any, Any], bool], dict[Any, Any]]


@dataclass(frozen=True)
class Program:
    """A model as steps, each after those whose values it takes.

    Attributes:
        steps: The steps.
        feeds: The values that go in: one for each input of the model, or one for all of them where no graph tells.
    """

    steps: list[Step]
    feeds: list[Any]


def program(model: Any, layers: Sequence[Any]) -> Program:
    """The program of a model.

    Args:
        model: A Keras model.
        layers: Those whose statistics are taken.
    """
    place = {id(layer): i for i, layer in enumerate(layers)}
    walked = walk(model)
    if graph.graph_of(model) is None:
        whole = object()
        hears = sorted({place[id(one)] for one in below(model) if id(one) in place})
        return Program([Step(model.name, [whole], [], hears, True, _called(model, whole))], [whole])
    return Program([_step(call, place) for call in walked.calls], walked.inputs)


def _called(model: Any, whole: Any) -> Callable[[Mapping[Any, Any], bool], dict[Any, Any]]:
    """A call of a model of which no graph tells anything; nobody takes its outputs."""

    def run(known: Mapping[Any, Any], training: bool) -> dict[Any, Any]:
        model(known[whole], training=training)
        return {}

    return run


def _step(call: Call, place: Mapping[int, int]) -> Step:
    layer = call.site.layer
    if id(layer) in place:
        hears = [place[id(layer)]]
        return Step(call.site.path, call.takes, call.gives, hears, False, lambda known, _: call.run(known, False))
    hears = sorted({place[id(one)] for one in below(layer) if id(one) in place})
    return Step(call.site.path, call.takes, call.gives, hears, bool(hears), call.run)


@dataclass(frozen=True)
class Stages:
    """The order.

    Attributes:
        hearings: Stage by stage, what is listened to.
        final_after: For each layer, the stage after which its statistics are final.
        circular: The layers that stand before themselves.
        at_once: Whether all are taken in one pass.
    """

    hearings: list[list[Hearing]]
    final_after: dict[int, int]
    circular: list[int]
    at_once: bool = False


def at_once(plan: Program) -> Stages:
    """All in one pass."""
    hearings = [(i, layer) for i, step in enumerate(plan.steps) for layer in step.hears]
    return Stages([hearings], {layer: 0 for _, layer in hearings}, [], at_once=True)


def stages(plan: Program) -> Stages:
    """Layer by layer."""
    before = _hearings_before(plan)
    depends = _layers_before(before)
    found: list[list[Hearing]] = []
    final_after: dict[int, int] = {}
    while waiting := {layer for layer in depends if layer not in final_after}:
        ready = {layer for layer in waiting if all(o in final_after or layer in depends[o] for o in depends[layer])}
        levels = _levels([one for one in before if one[1] in ready], before)
        for level in range(max(levels.values()) + 1):
            found.append([one for one in levels if levels[one] == level])
        final_after |= {
            layer: len(found)
            - 1
            - max(levels.values())
            + max(level for one, level in levels.items() if one[1] == layer)
            for layer in ready
        }
    return Stages(found, final_after, sorted(layer for layer in depends if layer in depends[layer]))


def _hearings_before(plan: Program) -> dict[Hearing, set[Hearing]]:
    """For each hearing, those whose statistics its values depend on."""
    reach: dict[int, set[Hearing]] = {}  # by value: the hearings that it depends on
    found: dict[Hearing, set[Hearing]] = {}
    for i, step in enumerate(plan.steps):
        upstream = set().union(*(reach.get(id(value), set()) for value in step.takes))
        within = [(i, layer) for layer in step.hears]
        found |= {one: upstream | set(within[:j]) for j, one in enumerate(within)}
        reach |= {id(value): upstream | set(within) for value in step.gives}
    return found


def _layers_before(before: Mapping[Hearing, set[Hearing]]) -> dict[int, set[int]]:
    """For each layer, those that it depends on, at any distance."""
    depends: dict[int, set[int]] = {layer: set() for _, layer in before}
    for (_, layer), others in before.items():
        depends[layer] |= {other for _, other in others}
    changed = True
    while changed:
        changed = False
        for layer, known in depends.items():
            more = known.union(*(depends[other] for other in known))
            changed, depends[layer] = changed or more != known, more
    return depends


def _levels(among: list[Hearing], before: Mapping[Hearing, set[Hearing]]) -> dict[Hearing, int]:
    """How many of `among` stand before each of them, one after another."""
    levels: dict[Hearing, int] = {}
    for one in among:  # in the order of the program, so that those before it have theirs
        levels[one] = 1 + max((levels[other] for other in before[one] if other in levels), default=-1)
    return levels
