"""The places where a layer keeps the layers that it calls in its own code: attributes, and lists and dicts in them."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import UnsupportedModel


def fill(twin: Any, layer: Any, twins: Mapping[int, Any], gone: Collection[int] = ()) -> None:
    """Puts twins into an unbuilt layer, in the places where `layer` has the layers that they are the twins of.

    Args:
        twin: The layer that gets them; it loses what it made for these places itself.
        layer: The layer that shows where they belong.
        twins: By the id of the layers that they are the twins of.
        gone: The ids of layers that have no twin, and are left out.

    Raises:
        UnsupportedModel: one of these layers is in no attribute, so that it cannot be put in its place.
    """
    if not twins:
        return
    for name, value in _attributes(layer):
        if _holds(value, twins):
            for old in [one for one in _layers_in(getattr(twin, name, None)) if one not in twins.values()]:
                graph.forget_layer(twin, old)
            setattr(twin, name, _mapped(_without(value, gone), twins))
    placed = {id(one) for one in graph.held_layers(twin)}
    for held in graph.held_layers(layer):
        if id(held) in twins and id(twins[id(held)]) not in placed:
            raise UnsupportedModel(
                f"{layer.name}/{held.name}: {type(layer).__name__} keeps this layer where no attribute of it leads to; "
                "keep it as self.NAME, or in a list or dict that is one"
            )
    graph.order_layers(twin, [twins.get(id(held), held) for held in graph.held_layers(layer)])


def _attributes(layer: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a layer's attributes, without those of the machinery of Keras and its backends."""
    for name in dict.fromkeys([*vars(layer), *vars(layer).get("_modules", {})]):
        if name not in graph.MACHINERY and not name.startswith("_self_"):
            yield name, getattr(layer, name, None)


def _layers_in(value: Any) -> Iterator[Any]:
    if isinstance(value, keras.layers.Layer):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _layers_in(one)
    elif isinstance(value, list | tuple | set):
        for one in value:
            yield from _layers_in(one)


def _holds(value: Any, twins: Mapping[int, Any]) -> bool:
    return any(id(layer) in twins for layer in _layers_in(value))


def _without(value: Any, gone: Collection[int]) -> Any:
    """The same value without the layers that are gone."""
    if not any(id(layer) in gone for layer in _layers_in(value)):
        return value
    if isinstance(value, Mapping):
        return {key: _without(one, gone) for key, one in value.items() if id(one) not in gone}
    return [_without(one, gone) for one in value if id(one) not in gone]


def _mapped(value: Any, twins: Mapping[int, Any]) -> Any:
    """The same value with twins in it; Keras wraps the lists and dicts again when they are set."""
    if isinstance(value, keras.layers.Layer):
        return twins.get(id(value), value)
    if isinstance(value, keras.Variable):
        raise UnsupportedModel(
            f"a list or dict holds both layers and the variable {value.path}, which cannot be told apart when the "
            "layer is made again; keep variables in attributes of their own"
        )
    if isinstance(value, Mapping):
        return {key: _mapped(one, twins) for key, one in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        kind = type(getattr(value, "__wrapped__", value))  # on TensorFlow Keras wraps tuples
        return kind(*(_mapped(one, twins) for one in value))
    for kind in (list, tuple, set):
        if isinstance(value, kind):
            return kind(_mapped(one, twins) for one in value)
    return value
