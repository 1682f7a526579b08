"""The check of what folding promises, place by place.

The outputs of a model tell too little: those of a random deep net hardly depend on its first layers, and a wrong fold
there would pass. So each group of layers that a fold has to do with is run by itself, before and after, on numbers of
its own. What is linear is told by two inputs: by 0, which gives what is added, and by random numbers, whose difference
from that gives what is multiplied. Each is compared on its own scale, channel by channel.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from evenbatch.errors import BrokenPromise, UnsupportedModel
from evenbatch.graph import losses_kept
from evenbatch.sites import Call, Site, Value, Walk, walk
from evenbatch.surgery import promise
from evenbatch.surgery.folding.edges import Edges
from evenbatch.surgery.folding.linear import channels, is_linear
from evenbatch.surgery.folding.plan import Plan
from evenbatch.surgery.probe import probe_inputs
from evenbatch.surgery.rebuild import Rebuilt
from evenbatch.surgery.state import Pair

_SIZES = (8, 32, 96)
"""Tried in turn for what is open in the shape of a value, where the model could not be run."""

_FEWEST = 16
"""Values of a channel, so that the largest of them is not small by chance."""

_DRAWS = 3
"""Roundings, in each of which some may cancel."""

Known = dict[Value, Any]


class Agreement(NamedTuple):
    """How far a model and the one that was made of it agree.

    Attributes:
        places: The largest difference at a place where something was folded, relative to the values of its channel.
        outputs: That of their outputs.
    """

    places: float
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
    with losses_kept([*promise.layers_of(model), *promise.layers_of(rebuilt.model)]):
        shapes = _shapes(model, walked)
        places = [_difference_in(region, walked, plan, twins, shapes) for region in plan.regions()]
        return Agreement(max(places, default=0.0), promise.agreement_of_outputs(model, rebuilt.model, []))


def _require_equal_structure(walked: Walk, new: Walk, plan: Plan) -> None:
    edges, gone = Edges(new), {site.path for site in plan.moves}
    for site in new.sites:
        if site.path in gone:  # a stand-in, in a Sequential model that would be empty without it
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


def _difference_in(
    region: set[Site], walked: Walk, plan: Plan, twins: Mapping[int, Any], shapes: Mapping[Value, tuple[int, ...]]
) -> float:
    """The largest difference of what leaves a region, before and after.

    Raises:
        BrokenPromise: it is larger than rounding makes it.
    """
    calls = [call for call in walked.calls if call.site in region]
    layers = {site: site.layer for site in region}
    folded = {site: twins[id(site.layer)] if site in plan.changed else site.layer for site in region} | dict.fromkeys(
        region & plan.moves.keys()
    )
    inputs, before = _first_that_runs(calls, layers, shapes)
    after = _run(calls, inputs, folded)
    leaving = _leaving(calls, walked)
    found = {value: _Difference(value, before, after) for value in leaving}
    if any(one.largest() > _tolerated(value) for value, one in found.items()):
        noise = _effect_of_rounding(calls, inputs, layers, before, leaving)
        for value, one in found.items():
            _require_within(value, one, promise.ROUNDINGS * noise[value], region & plan.moves.keys())
    return max((one.largest() for one in found.values()), default=0.0)


def _effect_of_rounding(
    calls: list[Call], inputs: Known, layers: Mapping[Site, Any], before: Known, leaving: list[Value]
) -> dict[Value, Any]:
    """By how much values of each channel change where every weight of a region does by a unit in the last place.

    Or by that unit itself, where those changes happen to cancel.
    """
    unit = promise.unit_of(layers.values())
    variables = [variable for layer in layers.values() for variable in layer.weights]
    found = {value: unit * _Difference(value, before, before).size() for value in leaving}
    for seed in range(_DRAWS):
        again = _run(calls, inputs, layers, promise.rounded(variables, unit, seed))
        found = {value: np.maximum(one, _Difference(value, before, again).absolute()) for value, one in found.items()}
    return found


def _require_within(value: Value, found: "_Difference", noise: Any, folded: set[Site]) -> None:
    """Checks a difference against what rounding may make of it."""
    if not found.is_within(_tolerated(value), noise):
        names = ", ".join(sorted(site.path for site in folded))
        raise BrokenPromise(
            f"{names} folded gives other values at {value.source.path}, by {found.largest():.1e} of their size; "
            f"{promise.PLEASE}"
        )


def _first_that_runs(
    calls: list[Call], layers: Mapping[Site, Any], shapes: Mapping[Value, tuple[int, ...]]
) -> tuple[Known, Known]:
    """Inputs that fit the region, and all of its values for them."""
    given = {value for call in calls for value in call.gives}
    taken = dict.fromkeys(value for call in calls for value in call.takes if value not in given)
    is_open = any(None in shapes.get(value, value.shape)[1:] for value in taken)
    for size in _SIZES if is_open else _SIZES[:1]:
        whole = {v: [size if n is None else n for n in shapes.get(v, v.shape)[1:]] for v in [*taken, *given]}
        examples = max(math.ceil(_FEWEST / _places(value, whole[value])) for value in given)
        inputs = {value: _drawn(value, whole[value], examples) for value in taken}
        try:
            return inputs, _run(calls, inputs, layers)
        except Exception:  # a size that does not fit shows as any error
            continue
    raise UnsupportedModel(
        f"{calls[0].site.path}: no made-up inputs fit it, so that nothing that is folded there could be checked; give "
        "keras.Input the shape of your data"
    )


def _places(value: Value, shape: Sequence[int]) -> int:
    """How often an example of a value has each channel."""
    return max(math.prod(shape) // max(shape[_channels(value) - 1], 1), 1)


def _drawn(value: Value, shape: Sequence[int], examples: int) -> Any:
    """Random numbers in that many examples, and 0 in one more, the last."""
    numbers = np.random.default_rng(0).normal(size=(examples + 1, *shape))
    numbers[-1] = 0
    return keras.ops.convert_to_tensor(numbers.astype("float32"), dtype=value.dtype)


def _run(calls: list[Call], inputs: Known, layers: Mapping[Site, Any], state: Sequence[Pair] = ()) -> Known:
    """Every value of a region in inference.

    Args:
        calls: Its calls.
        inputs: The values that it takes.
        layers: What is called at each site; None hands on what it takes.
        state: Other values of variables.
    """
    known = {**inputs}
    with keras.StatelessScope(state_mapping=[*state]):
        for call in calls:
            layer = layers[call.site]
            known |= {call.gives[0]: known[call.takes[0]]} if layer is None else call.run(known, False, layer)
    return known


def _leaving(calls: list[Call], walked: Walk) -> list[Value]:
    """The values that a region gives to others, or to nobody."""
    inside, outputs = set(calls), set(walked.outputs)
    taken_inside = {value for call in calls for value in call.takes}
    taken_outside = {value for call in walked.calls if call not in inside for value in call.takes}
    given = [value for call in calls for value in call.gives]
    return [value for value in given if value in taken_outside | outputs or value not in taken_inside]


class _Difference:
    """How far what is multiplied, and what is added, differ at a value before and after, of each channel."""

    def __init__(self, value: Value, before: Known, after: Known) -> None:
        axis = _channels(value)
        both = (np.moveaxis(promise.numbers(known[value]), axis, 0) for known in (before, after))
        (one, zero), (other, other_zero) = ((values[:, :-1], values[:, -1:]) for values in both)
        self._finite = np.isfinite(other).all() and np.isfinite(other_zero).all()
        self._absolute = np.stack([_largest((one - zero) - (other - other_zero)), _largest(zero - other_zero)])
        self._size = np.stack([_largest(one - zero), np.maximum(_largest(one), _largest(zero))])

    def absolute(self) -> Any:
        """The larger of both, shape (channels,): what is rounded at the size of one is rounded in the other, too."""
        return self._absolute.max(0)

    def size(self) -> Any:
        """The largest value of each channel."""
        return self._size.max(0)

    def largest(self) -> float:
        """The largest one, relative to the largest value of its channel."""
        if not self._finite:
            return math.inf
        nothing = np.where(self._absolute > 0, np.inf, 0.0)
        return float(np.divide(self._absolute, self._size, out=nothing, where=self._size > 0).max(initial=0.0))

    def is_within(self, relative: float, absolute: Any) -> bool:
        """Whether each is at most one of both."""
        return bool(self._finite and (self._absolute <= np.maximum(relative * self._size, absolute)).all())


def _channels(value: Value) -> int:
    """The axis of its channels."""
    layer = value.source.layer
    return channels(layer, len(value.shape)) if is_linear(layer) else len(value.shape) - 1


def _largest(values: Any) -> Any:
    """The largest of each channel, the first axis."""
    return np.abs(values).reshape(len(values), -1).max(1, initial=0.0)


def _tolerated(value: Value) -> float:
    return promise.tolerance(value.dtype)
