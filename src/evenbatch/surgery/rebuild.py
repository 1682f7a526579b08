"""A model made anew with some of its layers replaced, and everything else carried over.

Every layer gets a twin, once, so that what is shared stays shared, across inner models too. A twin is made from the
layer's own configuration; a Functional or Sequential model's from the twins of its layers; what calls its layers in its
own code gets them put in their places before it is built, since a built one takes none any more. Weights, seed states,
trainable flags and compile state follow when all are there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from evenbatch import graph
from evenbatch.surgery.compile_state import carry_compile_state
from evenbatch.surgery.state import Pair, carry_flags, carry_values, pairs_of
from evenbatch.surgery.twins import Replace, Twins

CarryCompiled = Callable[[Any, Any, list[Pair]], list[str]]


@dataclass(frozen=True)
class Rebuilt:
    """A new model, and how it came from the old one.

    Attributes:
        model: The new model.
        pairs: Every layer and its twin, the models themselves among them.
        variables: Every variable that was carried, and its twin.
        notes: What could not be carried, a sentence each.
    """

    model: Any
    pairs: list[Pair]
    variables: list[Pair]
    notes: list[str]


def rebuild(model: Any, replace: Replace, carry_compiled: CarryCompiled = carry_compile_state) -> Rebuilt:
    """A new model with the layers replaced for which `replace` gives another one.

    Args:
        model: A built Keras model: Functional, Sequential, or of a class with a full configuration.
        replace: Gives, for a layer, an unbuilt one to stand in its place, or None to keep it. Weights are carried into
            it by name, into all others by order.
        carry_compiled: Gives a model what `compile` gave the old one, and says what it could not give.

    Raises:
        UnsupportedModel: a part of it cannot be made again, or is not built.
    """
    with graph.where_it_lives(model):
        twins = Twins(model, replace)
        new = twins.of(model, "")
        twins.build()
        pairs = pairs_of(model, new, twins)
        variables = carry_values(pairs, twins)
        carry_flags(pairs, twins)
        notes = [note for layer, twin in pairs for note in carry_compiled(layer, twin, variables)]
    return Rebuilt(new, pairs, variables, notes)
