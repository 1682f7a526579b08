"""What layers hold besides their configuration, carried to their twins: values, flags and vocabularies."""

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import UnsupportedModel
from evenbatch.surgery.twins import Twins

Pair = tuple[Any, Any]
"""A layer and its twin, or a variable and its twin."""


def pairs_of(model: Any, new: Any, twins: Twins) -> list[Pair]:
    """Every layer of a model with its twin, each once, what holds others before what it holds.

    Raises:
        UnsupportedModel: a layer has no twin that it can be paired with.
    """
    return list(_pairs(model, new, twins, set()))


def _pairs(layer: Any, new: Any, twins: Twins, seen: set[int]) -> Iterator[Pair]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield layer, new
    if type(layer) is not type(new):
        return  # it was replaced: what it holds is its own affair
    held, news = graph.held_layers(layer), graph.held_layers(new)
    kinds, new_kinds = ([type(twins.known(one) or one) for one in ones] for ones in (held, news))
    if kinds != new_kinds:
        raise UnsupportedModel(
            f"{layer.name}: {type(layer).__name__} makes layers in its build() or call(), where none can be exchanged; "
            "make them in its constructor"
        )
    for one, other in zip(held, news, strict=True):
        yield from _pairs(one, twins.known(one) or other, twins, seen)


def carry_values(pairs: Iterable[Pair]) -> list[Pair]:
    """Gives every variable's twin its value; returns the variables with their twins.

    Raises:
        UnsupportedModel: a layer's twin has other weights.
    """
    found = []
    for layer, twin in pairs:
        for variable, new in _variables(layer, twin):
            graph.carry_value(variable, new)
            found.append((variable, new))
        _carry_what_is_no_variable(layer, twin)
    return found


def _variables(layer: Any, twin: Any) -> list[Pair]:
    old, new = graph.own_variables(layer), graph.own_variables(twin)
    if type(layer) is not type(twin):
        named = {variable.name: variable for variable in new}
        return [(variable, named[variable.name]) for variable in old if variable.name in named]
    if [tuple(variable.shape) for variable in old] != [tuple(variable.shape) for variable in new]:
        raise UnsupportedModel(
            f"{layer.name}: {type(layer).__name__} made again has other weights ({_shapes(new)}) than before "
            f"({_shapes(old)}); give the class a get_config() with every argument of its constructor, and a build()"
        )
    return list(zip(old, new, strict=True))


def _shapes(variables: list[Any]) -> str:
    return ", ".join(f"{variable.name} {tuple(variable.shape)}" for variable in variables) or "none"


def _carry_what_is_no_variable(layer: Any, twin: Any) -> None:
    """Vocabularies, which preprocessing layers keep in files of their own, and what they compute of their weights."""
    if hasattr(layer, "save_assets"):
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            twin.load_assets(folder)
    if isinstance(layer, keras.layers.Normalization) and layer.built:
        twin.finalize_state()


def carry_flags(pairs: Iterable[Pair]) -> None:
    """Gives twins the names, trainable flags and rematerialization of the layers; no setter, which would go deeper."""
    for layer, twin in pairs:
        twin.name = layer.name
        twin._trainable, twin._remat_mode = layer._trainable, layer._remat_mode
        for variable, new in _variables(layer, twin):
            new.trainable = variable.trainable
