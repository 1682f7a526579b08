"""The check of what folding promises, place by place.

The outputs of a model tell too little: those of a random deep net hardly depend on its first layers, and a wrong fold
there would pass. So each group of layers that a fold has to do with is run by itself, before and after, on numbers of
its own. What is linear is told by inputs around a point: what comes of the point is what is added, and the difference
from it what is multiplied. Each is compared on its own scale, channel by channel.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras

from evenbatch.errors import BrokenPromise
from evenbatch.graph import losses_kept
from evenbatch.sites import Site, Value, Walk, walk
from evenbatch.surgery import promise
from evenbatch.surgery.folding.difference import Difference
from evenbatch.surgery.folding.edges import Edges
from evenbatch.surgery.folding.plan import Plan
from evenbatch.surgery.folding.region import Known, Region
from evenbatch.surgery.precision import full_precision
from evenbatch.surgery.probe import probe_inputs
from evenbatch.surgery.rebuild import Rebuilt


class Agreement(NamedTuple):
    """How far a model and the one that was made of it agree.

    Attributes:
        places: The largest difference at a place where something was folded, relative to the values of its channel;
            None where there is no such place.
        outputs: That of their outputs.
    """

    places: float | None
    outputs: promise.Agreement


def check(model: Any, walked: Walk, plan: Plan, rebuilt: Rebuilt) -> Agreement:
    """Compares a model with what folding made of it.

    Args:
        model: The given model.
        walked: Its sites and calls.
        plan: What was to be done.
        rebuilt: The new model, with the folded weights in it.

    Raises:
        BrokenPromise: it does not compute what the given one does.
        UnsupportedModel: it could not be checked.
    """
    new = walk(rebuilt.model)
    _require_equal_structure(walked, new, plan)
    promise.require_nothing_shared(walked.sites, new.sites)
    changed = {id(variable) for site in plan.changed for variable in site.layer.weights}
    promise.require_equal_values(pair for pair in rebuilt.variables if id(pair[0]) not in changed)
    twins = {id(layer): twin for layer, twin in rebuilt.pairs}
    with losses_kept([*promise.layers_of(model), *promise.layers_of(rebuilt.model)]), full_precision():
        shapes = _shapes(model, walked)
        regions = [Region(sites, walked, shapes) for sites in plan.regions()]
        places = max((_difference_in(region, plan, twins) for region in regions), default=None)
        return Agreement(places, promise.agreement_of_outputs(model, rebuilt.model, [], places or 0.0))


def _require_equal_structure(walked: Walk, new: Walk, plan: Plan) -> None:
    edges, gone = Edges(new), {site.path for site in plan.moves}
    for site in new.sites:
        if site.path in gone:  # what stands in for it: in an empty Sequential model, or for the name of an output
            edges.remove(site)
    before = _outline([site for site in walked.sites if site not in plan.moves], plan.edges)
    if before != _outline([site for site in new.sites if site.path not in gone], edges):
        raise BrokenPromise(f"the new model is connected in another way than the given one; {promise.PLEASE}")


def _outline(sites: list[Site], edges: Edges) -> dict[str, Any]:
    return {
        site.path: (
            type(site.layer),
            site.uses,
            edges.leads_out(site) or (not edges.are_known(site) and site.leads_out),
            sorted(one.path for one in edges.givers_to(site)),
            sorted(one.path for one in edges.takers_of(site)),
        )
        for site in sites
    }


def _shapes(model: Any, walked: Walk) -> Mapping[Value, tuple[int, ...]]:
    """The shape of every value in a batch of one, where inputs could be made up for the model."""
    inputs, _ = probe_inputs(model)
    if inputs is None or not walked.inputs:
        return {}
    known: Known = dict(zip(walked.inputs, keras.tree.flatten(inputs), strict=True))
    with keras.StatelessScope():
        for call in walked.calls:
            known |= call.run(known, training=False)
    return {value: tuple(tensor.shape) for value, tensor in known.items()}


def _difference_in(region: Region, plan: Plan, twins: Mapping[int, Any]) -> float:
    """The largest difference of what leaves a region, before and after.

    Raises:
        BrokenPromise: it is larger than rounding makes it.
    """
    before = region.run(region.layers)
    gone = region.sites & plan.moves.keys()
    changed = {site: twins[id(site.layer)] for site in region.sites & plan.changed.keys()}
    after = region.run({**region.layers, **changed, **dict.fromkeys(gone)})
    found = {value: Difference(value, before, after) for value in region.leaving}
    if all(one.largest() <= promise.tolerance(value.dtype) for value, one in found.items()):
        return max((one.largest() for one in found.values()), default=0.0)
    noise = region.effect_of_rounding(before)
    for value, one in found.items():
        if not one.is_within(promise.tolerance(value.dtype), promise.ROUNDINGS * noise[value]):
            names = ", ".join(sorted(site.path for site in gone))
            raise BrokenPromise(
                f"{names} folded gives other values at {value.source.path}, by {one.largest():.1e} of their size; "
                f"{promise.PLEASE}"
            )
    return max(one.largest() for one in found.values())
