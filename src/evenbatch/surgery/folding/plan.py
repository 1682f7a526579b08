"""Where each batch normalization of a model goes: into what comes before it, into what comes after it, or nowhere.

Decided by layers and not by calls, so that what is shared is right: a layer takes something in only where it belongs to
every one of its calls. What has been folded counts as gone, and what is behind it as the neighbour.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import keras
import numpy as np

from evenbatch import layers as ours
from evenbatch.sites import Site, Walk
from evenbatch.surgery import promise
from evenbatch.surgery.folding.affine import Affine, affine_of, deviation, gamma, numbers
from evenbatch.surgery.folding.edges import Edges
from evenbatch.surgery.folding.normalization import Normalization
from evenbatch.surgery.folding.refusal import Refused
from evenbatch.surgery.folding.taking import Linear
from evenbatch.surgery.folding.way import FIXED, Move, Way

FOLDABLE = (keras.layers.BatchNormalization, ours.BatchNormalization, ours.GhostBatchNormalization)


@dataclass
class Plan:
    """What becomes of the normalizations of a model.

    Attributes:
        edges: The model without those that disappear.
        fixed: The ids of layers that nothing can be changed about.
        moves: By site, those that disappear.
        kept: By site, why the others stay.
        changed: By site, the layers that have taken something in, with all of it.
    """

    edges: Edges
    fixed: Collection[int] = ()
    moves: dict[Site, Move] = field(default_factory=dict)
    kept: dict[Site, str] = field(default_factory=dict)
    changed: dict[Site, Linear] = field(default_factory=dict)

    def regions(self) -> list[set[Site]]:
        """The sites that what disappears has to do with, in groups that have none in common."""
        found: list[set[Site]] = []
        for site, move in self.moves.items():
            one = {site, *move.into, *move.through}
            for other in [other for other in found if other & one]:
                found.remove(other)
                one |= other
            found.append(one)
        return found


def planned(walked: Walk, fixed: Collection[int] = ()) -> Plan:
    """Decides on each batch normalization, in the order in which they are called.

    Args:
        walked: The model.
        fixed: The ids of layers that nothing can be changed about.

    Raises:
        UnsupportedModel: the weights of one are no numbers.
    """
    plan = Plan(edges := Edges(walked), fixed)
    for site in walked.sites:
        if not isinstance(site.layer, keras.layers.BatchNormalization):
            continue
        if reason := _why_never(site, plan):
            plan.kept[site] = reason
            continue
        try:
            move = _move(site, plan, edges)
        except Refused as refused:
            plan.kept[site] = str(refused)
            continue
        plan.moves[site] = move
        plan.changed |= move.into
        plan.changed.pop(site, None)
        edges.remove(site)
    return plan


def _why_never(site: Site, plan: Plan) -> str:
    """Why a normalization stays whatever is around it; empty where nothing speaks against its going."""
    if isinstance(site.layer, ours.ConditionalBatchNormalization):
        return "it has a gamma and a beta for each class"
    if type(site.layer) not in FOLDABLE or "call" in vars(site.layer):  # which making the model again will refuse
        return "it is a subclass, with code of its own"
    if id(site.layer) in plan.fixed:
        return f"it {FIXED}"
    if not plan.edges.are_known(site):
        held = f"of {site.holder.path}, " if site.holder is not None else ""
        return f"it is called in code, {held}where no graph tells what comes before it"
    if any(call.training for call in plan.edges.calls(site)):
        return "it is called with training=True, and so normalizes by its batch in inference, too"
    return ""


def _move(site: Site, plan: Plan, edges: Edges) -> Move:
    """The way out of the model: up, into what comes before it, or else down."""
    affine = _affine(site, plan)
    axis = [int(site.layer.axis) % len(call.inputs[0].shape) for call in edges.calls(site)]
    try:
        up = Way(site, plan.changed, plan.fixed, edges)
        for call, one in zip(edges.calls(site), axis, strict=True):
            up.climb(edges.taken(call)[0], (affine, one), site)
        return up.move(after=False)
    except Refused as above:
        try:
            _require_floats(site, edges)
            _require_near(site)
            down = Way(site, plan.changed, plan.fixed, edges)
            for call, one in zip(edges.calls(site), axis, strict=True):
                down.descend(call.gives[0], (affine, one), site)
            return down.move(after=True)
        except Refused as below:
            raise Refused(f"{above}; {below}") from None


def _require_floats(site: Site, edges: Edges) -> None:
    """Checks that what comes after a normalization can take what it takes, which casts integers."""
    for call in edges.calls(site):
        for value in edges.taken(call):
            if not keras.backend.is_float_dtype(value.dtype):
                raise Refused(f"after it, nothing takes its inputs as they are, which are of dtype {value.dtype}")


def _require_near(site: Site) -> None:
    """Checks that what comes after a normalization can do without the subtraction of the mean.

    It would multiply inputs as far from 0 as they are, and add as large a number of the other sign: what is rounded on
    the way is as large, for one deviation of the inputs, as the mean is deviations away from 0.
    """
    layer = site.layer
    distance = np.abs(numbers(layer.moving_mean)) / deviation(layer)
    far = float((distance * (gamma(layer) != 0)).max(initial=0.0))
    if far * promise.unit_of([layer]) > promise.tolerance(layer.compute_dtype):
        raise Refused(
            f"after it, what it takes has a mean {far:.0e} deviations away from 0, which must be subtracted before "
            f"anything is multiplied, in {layer.compute_dtype}"
        )


def _affine(site: Site, plan: Plan) -> Affine:
    """What a normalization computes, with what it has taken in."""
    taken_in = plan.changed.get(site)
    return taken_in.affine if isinstance(taken_in, Normalization) else affine_of(site.layer, site.path)
