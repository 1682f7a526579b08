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
    held = [one for one in graph.held_layers(layer) if not twins.is_gone(one)]
    if graph.graph_of(layer) is not None and all(twins.known(one) is not None for one in held):
        for one in held:  # in another order, it may be, than the new model has them, where layers are gone
            yield from _pairs(one, twins.known(one), twins, seen)
        return
    news = graph.held_layers(new)
    kinds, new_kinds = ([type(twins.known(one) or one) for one in ones] for ones in (held, news))
    if kinds != new_kinds:
        raise UnsupportedModel(
            f"{layer.name}: {type(layer).__name__} makes layers in its build() or call(), where none can be exchanged; "
            "make them in its constructor"
        )
    for one, other in zip(held, news, strict=True):
        yield from _pairs(one, twins.known(one) or other, twins, seen)


def carry_values(pairs: Iterable[Pair], twins: Twins) -> list[Pair]:
    """Gives every variable's twin its value; returns the variables with their twins.

    A layer that stands in another's place gets those of its name.

    Raises:
        UnsupportedModel: a layer's twin has other weights.
    """
    found = []
    for layer, twin in pairs:
        for variable, new in _variables(layer, twin, by_name=twins.is_replacement(twin)):
            graph.carry_value(variable, new)
            found.append((variable, new))
        _carry_what_is_no_variable(layer, twin)
    return found


def _variables(layer: Any, twin: Any, *, by_name: bool) -> list[Pair]:
    old, new = graph.own_variables(layer), graph.own_variables(twin)
    if by_name:
        named = {variable.name: variable for variable in new}
        return [(variable, named[variable.name]) for variable in old if variable.name in named]
    names = [variable.name for variable in old]
    named = {variable.name: variable for variable in new}
    if len(named) == len(new) and sorted(named) == sorted(names):
        new = [named[name] for name in names]  # in whatever order quantizing made them
    if [tuple(variable.shape) for variable in old] != [tuple(variable.shape) for variable in new]:
        raise UnsupportedModel(
            f"{layer.name}: {type(layer).__name__} made again has other weights ({_shapes(new)}) than before "
            f"({_shapes(old)}); give the class a get_config() with every argument of its constructor, and a build()"
        )
    return list(zip(old, new, strict=True))


def _shapes(variables: list[Any]) -> str:
    return ", ".join(f"{variable.name} {tuple(variable.shape)}" for variable in variables) or "none"


def _carry_what_is_no_variable(layer: Any, twin: Any) -> None:
    """Vocabularies, what preprocessing layers compute of their weights, and the states of recurrent layers."""
    try:
        if hasattr(layer, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                layer.save_assets(folder)
                twin.load_assets(folder)
        if isinstance(layer, keras.layers.Normalization) and layer.built:
            twin.mean, twin.variance = layer.mean, layer.variance
        for state, new in zip(
            *(keras.tree.flatten(getattr(one, "states", None) or []) for one in (layer, twin)), strict=True
        ):
            graph.carry_value(state, new)
    except Exception as error:
        raise UnsupportedModel(
            f"{layer.name}: what {type(layer).__name__} has learned of its data or its past cannot be carried "
            f"({' '.join(str(error).split())[:200]}); reset it first, or leave it out of the model"
        ) from error


def carry_flags(pairs: Iterable[Pair], twins: Twins) -> None:
    """Gives twins what configurations do not hold: of layers and variables the paths, the flags, what a user set.

    Trainable flags go in without their setter, which would go deeper.
    """
    for layer, twin in pairs:
        graph.carry_flags(layer, twin)
        is_another = twins.is_replacement(twin)
        for variable, new in _variables(layer, twin, by_name=is_another):
            graph.carry_flags_of_variable(variable, new)
        _carry_attributes(layer, twin, only_new=is_another)


def _carry_attributes(layer: Any, twin: Any, *, only_new: bool) -> None:
    """Numbers, texts and lists of them in public attributes, such as one that a `train_step` of the user's reads."""
    for name, value in vars(layer).items():
        if name.startswith("_") or name in graph.SET_BY_KERAS or not _is_plain(value):
            continue
        is_new = name not in vars(twin)
        if is_new or (not only_new and _is_plain(own := getattr(twin, name)) and own != value):
            setattr(twin, name, value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    return value is None or isinstance(value, str | int | float | bool)
