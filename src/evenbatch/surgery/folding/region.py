"""A part of a model that a fold has to do with, run by itself."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from evenbatch.errors import UnsupportedModel
from evenbatch.sites import Call, Site, Value, Walk
from evenbatch.surgery import promise
from evenbatch.surgery.folding.affine import deviation, numbers
from evenbatch.surgery.folding.difference import Difference, channels_of
from evenbatch.surgery.state import Pair

_SIZES = (8, 32, 96)
"""Tried in turn for what is open in the shape of a value, where the model could not be run."""

_FEWEST = 16
"""Values of a channel, so that the largest of them is not small by chance."""

_DRAWS = 3
"""Roundings, in each of which some may cancel."""

Known = dict[Value, Any]


class Region:
    """Sites that have to do with each other, and inputs for them.

    What goes straight into a normalization is drawn from the population that it was made for; anything else is drawn
    around 0. The last example is the middle itself.

    Args:
        sites: The sites.
        walked: The model that they are of.
        shapes: Shapes of its values, where they are known.

    Attributes:
        layers: The layers, by site.
        leaving: The values that go to others, or to nobody.

    Raises:
        UnsupportedModel: no made-up inputs fit it.
    """

    def __init__(self, sites: set[Site], walked: Walk, shapes: Mapping[Value, tuple[int, ...]]) -> None:
        self.sites = sites
        self.layers = {site: site.layer for site in sites}
        self._calls = [call for call in walked.every_call if call.site in sites]
        self.leaving = _leaving(self._calls, walked)
        self._inputs = self._first_that_run(shapes)

    def run(self, layers: Mapping[Site, Any]) -> Known:
        """Every value in inference.

        Args:
            layers: What is called at each site; None hands on what it takes.
        """
        return self._run(self._inputs, layers)

    def effect_of_rounding(self, values: Known) -> dict[Value, Any]:
        """By how much values of each channel change where every weight and value does by a unit in the last place.

        Or by that unit itself, where those changes happen to cancel.

        Args:
            values: Every value as it is.
        """
        unit = promise.unit_of(self.layers.values())
        variables = [variable for layer in self.layers.values() for variable in layer.weights]
        found = {value: unit * Difference(value, values, values).size() for value in self.leaving}
        for seed in range(_DRAWS):
            moved = partial(_moved, unit=unit, draw=np.random.default_rng(seed))
            again = self._run(self._inputs, self.layers, promise.rounded(variables, unit, seed), moved)
            for value, one in found.items():
                found[value] = np.maximum(one, Difference(value, values, again).absolute())
        return found

    def _run(
        self,
        inputs: Known,
        layers: Mapping[Site, Any],
        state: Sequence[Pair] = (),
        taken: Callable[[Call, Known], Known] = lambda _, known: known,
    ) -> Known:
        """Every value, with other values of some variables, and with others for what a call takes."""
        known = {**inputs}
        with keras.StatelessScope(state_mapping=[*state]):
            for call in self._calls:
                layer, values = layers[call.site], taken(call, known)
                known |= {call.gives[0]: values[call.inputs[0]]} if layer is None else call.run(values, False, layer)
        return known

    def _first_that_run(self, shapes: Mapping[Value, tuple[int, ...]]) -> Known:
        given = {value for call in self._calls for value in call.gives}
        taken = dict.fromkeys(value for call in self._calls for value in call.takes if value not in given)
        is_open = any(None in shapes.get(value, value.shape)[1:] for value in taken)
        for size in _SIZES if is_open else _SIZES[:1]:
            whole = {v: [size if n is None else n for n in shapes.get(v, v.shape)[1:]] for v in [*taken, *given]}
            examples = max(math.ceil(_FEWEST / _places(value, whole[value])) for value in given)
            inputs = {value: self._drawn(value, [examples + 1, *whole[value]]) for value in taken}
            try:
                self._run(inputs, self.layers)
            except Exception:  # a size that does not fit shows as any error
                continue
            return inputs
        raise UnsupportedModel(
            f"{self._calls[0].site.path}: no made-up inputs fit it, so that nothing that is folded there could be "
            "checked; give keras.Input the shape of your data"
        )

    def _drawn(self, value: Value, shape: Sequence[int]) -> Any:
        if value.dtype == "bool":
            return keras.ops.ones(shape, "bool")  # a mask
        found = np.random.default_rng(0).normal(size=shape)
        found[-1] = 0
        if (layer := self._normalization_of(value)) is not None:
            along = [1] * len(shape)
            along[int(layer.axis) % len(shape)] = -1
            found = found * deviation(layer).reshape(along) + numbers(layer.moving_mean).reshape(along)
        return keras.ops.convert_to_tensor(found.astype("float32"), dtype=value.dtype)

    def _normalization_of(self, value: Value) -> Any | None:
        takers = (call.site.layer for call in self._calls if value in call.inputs)
        return next((layer for layer in takers if isinstance(layer, keras.layers.BatchNormalization)), None)


def _moved(call: Call, known: Known, unit: float, draw: np.random.Generator) -> Known:
    """What a call takes, moved by one unit in the last place, up or down."""
    moved = {**known}
    for value in call.inputs:
        factors = 1 + unit * draw.choice([-1.0, 1.0], tuple(known[value].shape))
        moved[value] = known[value] * keras.ops.convert_to_tensor(factors, dtype=value.dtype)
    return moved


def _leaving(calls: list[Call], walked: Walk) -> list[Value]:
    inside, outputs = set(calls), {*walked.outputs, *walked.beside_outputs}
    taken_inside = {value for call in calls for value in call.takes}
    taken_outside = {value for call in walked.every_call if call not in inside for value in call.takes}
    given = [value for call in calls for value in call.gives]
    return [value for value in given if value in taken_outside | outputs or value not in taken_inside]


def _places(value: Value, shape: Sequence[int]) -> int:
    """How often an example of a value has each channel."""
    return max(math.prod(shape) // max(shape[channels_of(value) - 1], 1), 1)
