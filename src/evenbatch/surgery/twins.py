"""The twin of each layer of a model: the same layer made again, or the one that stands in its place."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import EvenbatchError, UnsupportedModel
from evenbatch.surgery import places

Replace = Callable[[Any], Any | None]
"""Gives the unbuilt layer that is to stand in the place of the given one, a `Gone`, or None to keep it."""


@dataclass(frozen=True)
class Gone:
    """Stands for no layer: what the given one took goes to those that took what it gave.

    Attributes:
        keeps_name: Whether an `Identity` takes its name, as where that is the name of an output of the model.
    """

    keeps_name: bool = False


class Twins:
    """Makes twins, each once.

    Args:
        model: The model whose layers get twins.
        replace: Gives the layers that stand in others' places.
    """

    def __init__(self, model: Any, replace: Replace) -> None:
        self._replace = replace
        self._made: dict[int, tuple[Any, Any]] = {}
        self._replacements: set[int] = set()
        self._stand_ins: dict[int, Any] = {}
        every = list(_below(model, Counter()))
        self._classes = {type(layer).__name__: type(layer) for layer in every}
        holders = Counter(id(held) for layer in every for held in {id(h): h for h in graph.held_layers(layer)}.values())
        self._shared = {key for key, count in holders.items() if count > 1}

    def is_gone(self, layer: Any) -> bool:
        """Whether nothing is to stand in the place of a layer, which has one input and is called by a graph alone."""
        return isinstance(self._replace(layer), Gone)

    def of(self, layer: Any, path: str) -> Any:
        """The twin of a layer that stands at `path`.

        Raises:
            UnsupportedModel: it cannot be made.
        """
        if id(layer) not in self._made:
            _refuse_patched(layer, path)
            self._made[id(layer)] = layer, self._replaced(layer) or self._again(layer, path)
        return self._made[id(layer)][1]

    def is_replacement(self, twin: Any) -> bool:
        """Whether a twin is another layer, and not the same one made again."""
        return id(twin) in self._replacements

    def known(self, layer: Any) -> Any | None:
        """The twin that a layer has already."""
        return self._made.get(id(layer), (None, None))[1]

    def build(self) -> None:
        """Builds the twins of built layers that no call has built; what holds others before what it holds."""
        for layer, twin in reversed(list(self._made.values())):
            if isinstance(layer, keras.layers.Layer) and layer.built and not twin.built:
                twin.build_from_config(layer.get_build_config())

    def _again(self, layer: Any, path: str) -> Any:
        try:
            with keras.saving.custom_object_scope(self._classes):
                return self._maker(layer)(layer, path)
        except EvenbatchError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise UnsupportedModel(
                f"{path or layer.name}: {type(layer).__name__} cannot be made again from its configuration ({reason}); "
                "give the class a get_config() with every argument of its constructor"
            ) from error

    def _maker(self, layer: Any) -> Callable[[Any, str], Any]:
        if isinstance(layer, keras.layers.Lambda):
            return _lambda
        if makes_its_own_graph(layer):
            return _refuse if self._is_touched(layer) else self._from_config
        if isinstance(layer, keras.Sequential):
            return self._sequential
        if graph.is_functional(layer):
            return self._functional
        return self._with_places_filled if self._is_touched(layer) else self._from_config

    def _is_touched(self, layer: Any) -> bool:
        """Whether what it holds is more than its own affair: something is replaced, or shared with others."""
        below = list(_below(layer, Counter()))[1:]
        return any(id(one) in self._shared or self._has_another(one) for one in below)

    def _has_another(self, layer: Any) -> bool:
        if self.is_gone(layer):
            return True
        if id(layer) not in self._made and (twin := self._replaced(layer)) is not None:
            self._made[id(layer)] = layer, twin
        return id(layer) in self._made

    def _replaced(self, layer: Any) -> Any | None:
        twin = self._replace(layer)
        if isinstance(twin, Gone):
            raise UnsupportedModel(f"{layer.name}: no layer can be left out of what calls it in its own code")
        self._replacements |= {id(twin)} if twin is not None else set()
        return twin

    def _sequential(self, model: Any, path: str) -> Any:
        held = graph.held_layers(model)
        twins = [self._stand_in(one) if self.is_gone(one) else self.of(one, _join(path, one)) for one in held]
        twins = [twin for twin in twins if twin is not None]
        if held and all(isinstance(twin, keras.layers.InputLayer) for twin in twins):
            twins.append(_identity_like(held[-1]))  # Keras calls no Sequential model without layers
        return type(model)(twins, name=model.name)

    def _stand_in(self, layer: Any) -> Any | None:
        """What has the name of a layer that is gone, one for all of its calls."""
        found = self._replace(layer)
        if not (isinstance(found, Gone) and found.keeps_name):
            return None
        if id(layer) not in self._stand_ins:
            self._stand_ins[id(layer)] = _identity_like(layer)
        return self._stand_ins[id(layer)]

    def _functional(self, model: Any, path: str) -> Any:
        inputs = [self.of(layer, _join(path, layer)).output for layer in graph.input_layers(model)]
        twin_of = {id(tensor): twin for tensor, twin in zip(model.inputs, inputs, strict=True)}
        for node in graph.calls(model):
            if self.is_gone(node.operation):
                stand_in, taken = self._stand_in(node.operation), twin_of[id(node.input_tensors[0])]
                twin_of[id(node.outputs[0])] = taken if stand_in is None else stand_in(taken)
                continue
            arguments, keywords = node.arguments.fill_in(twin_of)
            _refuse_variables((arguments, keywords), _join(path, node.operation))
            outputs = self._operation(node.operation, path)(*arguments, **keywords)
            flat = keras.tree.flatten(outputs)
            twin_of |= {id(tensor): twin for tensor, twin in zip(node.outputs, flat, strict=True)}
        outputs = [twin_of[id(tensor)] for tensor in model.outputs]
        twin = type(model)(
            keras.tree.pack_sequence_as(model.input, inputs),
            keras.tree.pack_sequence_as(model.output, outputs),
            name=model.name,
            **graph.further_arguments(model),
        )
        self._fill_places(twin, model, path)
        return twin

    def _operation(self, operation: Any, path: str) -> Any:
        """The twin of what a node calls: a layer, or an operation of `keras.ops`, which has no state."""
        if isinstance(operation, keras.layers.Layer):
            return self.of(operation, _join(path, operation))
        if id(operation) not in self._made:
            self._made[id(operation)] = operation, graph.copied_operation(operation)
        return self._made[id(operation)][1]

    def _from_config(self, layer: Any, path: str) -> Any:
        twin = made_of_config(layer)
        if {id(held) for held in graph.held_layers(twin)} & {id(held) for held in graph.held_layers(layer)}:
            self._fill_places(twin, layer, path)  # its configuration gave away the very layers that it holds
        return twin

    def _with_places_filled(self, layer: Any, path: str) -> Any:
        twin = made_of_config(layer)
        self._fill_places(twin, layer, path)
        return twin

    def _fill_places(self, twin: Any, layer: Any, path: str) -> None:
        stay = [held for held in graph.held_layers(layer) if not self.is_gone(held)]
        gone = {id(held) for held in graph.held_layers(layer)} - {id(held) for held in stay}
        places.fill(twin, layer, {id(held): self.of(held, _join(path, held)) for held in stay}, gone)


def makes_its_own_graph(layer: Any) -> bool:
    """Whether the constructor of a model's class makes its layers, so that none of them can be exchanged."""
    if isinstance(layer, keras.Sequential):
        return type(layer).__init__ is not keras.Sequential.__init__
    return graph.is_functional(layer) and not graph.takes_a_graph(layer)


def fixed_within(model: Any) -> set[int]:
    """The ids of the layers of a model that are in others of it which make their own graph."""
    inner = [layer for layer in _below(model, Counter()) if layer is not model and makes_its_own_graph(layer)]
    return {id(layer) for one in inner for layer in _below(one, Counter())}


def _identity_like(layer: Any) -> Any:
    return keras.layers.Identity(name=layer.name, dtype=layer.dtype_policy.name)


def _refuse_patched(layer: Any, path: str) -> None:
    if "call" in vars(layer):
        raise UnsupportedModel(
            f"{path or layer.name}: call() of this layer was replaced on the object itself, which no configuration "
            "holds; make it a method of a subclass"
        )


def made_of_config(layer: Any, **others: Any) -> Any:
    """From its configuration; where that cannot be read back, with the very functions that the layer has.

    Such are an activation or an initializer of the user's that nobody has registered. They have no state.

    Args:
        layer: A layer.
        **others: Arguments that are others than its own.
    """
    config = {**layer.get_config(), **others}
    try:
        return type(layer).from_config({**config})
    except Exception:
        live = {key: getattr(layer, key) for key, value in config.items() if _is_a_function(layer, key, value)}
        if not live:
            raise
        return type(layer).from_config({**layer.get_config(), **others, **live})


def _is_a_function(layer: Any, key: str, value: Any) -> bool:
    given = getattr(layer, key, None)
    return isinstance(value, dict) and callable(given) and not isinstance(given, keras.layers.Layer)


def _refuse_variables(arguments: Any, path: str) -> None:
    """Refuses a call that was given a variable itself: the new model would go on using that of the given one."""
    for one in keras.tree.flatten(arguments):
        if isinstance(one, keras.Variable) or getattr(one, "requires_grad", False):
            raise UnsupportedModel(
                f"{path}: a call takes the weight {getattr(one, 'path', 'of a layer')} itself, which ties two parts of "
                "the model together outside of any layer; let a layer hold it and give it to both"
            )


def _lambda(layer: Any, _: str) -> Any:
    """With the very function that the layer has: its code goes through no file and is not run by making the layer."""
    return type(layer)(layer.function, **graph.arguments_of_lambda(layer))


def _refuse(model: Any, path: str) -> Any:
    raise UnsupportedModel(
        f"{path or model.name}: {type(model).__name__} makes its graph in its own constructor, where no layer can be "
        "exchanged; pass keras.Model(model.input, model.output), the same graph with the same weights"
    )


def _join(path: str, layer: Any) -> str:
    return f"{path}/{layer.name}" if path else str(layer.name)


def _below(layer: Any, seen: "Counter[int]") -> Iterator[Any]:
    """The layer and all that it holds, at any depth, each once."""
    if not seen[id(layer)]:
        seen[id(layer)] += 1
        yield layer
        for held in graph.held_layers(layer):
            yield from _below(held, seen)
