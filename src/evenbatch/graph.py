"""What Keras knows of a model's structure: the one place that reads its private names.

Keras records every symbolic call of a layer as a node. A Functional model is a set of such nodes, a Sequential one has
a Functional model within, and of a layer that calls others in its own code (a wrapper, a recurrent layer, a subclassed
model) nothing is recorded but which layers it holds.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from graphlib import CycleError, TopologicalSorter
from typing import Any

import keras
from keras.src import ops as operations
from keras.src.models.functional import Functional, functional_like_constructor
from keras.src.random.seed_generator import global_seed_generator

MACHINERY = frozenset(
    {"_layers", "_tracker", "_functional", "_inbound_nodes", "_outbound_nodes", "_operations", "_operations_by_depth"}
    | {"_modules", "_torch_params", "_compiled_trainable_state", "_metrics", "_tracked"}
)
"""Attributes in which Keras and its backends keep account of what a layer holds; no code of a user's put it there."""


SUMS = (operations.numpy.Add, operations.numpy.Subtract)
"""What `x + y` and `x - y` of symbolic tensors become."""

SET_BY_KERAS = frozenset({"name", "built", "compiled", "stop_training", "training", "layers"})
"""Public attributes that Keras and its backends set as a layer is made and used."""


def is_in_a_function() -> bool:
    """Whether a `tf.function` is being traced."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.inside_function())


def graph_of(layer: Any) -> Any | None:
    """The Functional model whose nodes say what `layer` computes; None where its own code says it.

    A Sequential model gives the one within, which has the same layers.
    """
    if isinstance(layer, keras.Sequential):
        return layer._functional if type(layer).call is keras.Sequential.call else None
    return layer if isinstance(layer, Functional) and type(layer).call is Functional.call else None


def is_functional(layer: Any) -> bool:
    """Whether `layer` is a model that was made from inputs and outputs, of Keras' class or of a subclass."""
    return isinstance(layer, Functional)


def takes_a_graph(layer: Any) -> bool:
    """Whether the class of such a model is called with inputs and outputs, and so makes its like of another graph."""
    return bool(functional_like_constructor(type(layer)))


def further_arguments(model: Any) -> dict[str, Any]:
    """What the configuration of a Functional model holds besides the graph, where its class has one of its own."""
    if type(model).get_config is Functional.get_config:
        return {}
    known = {"name", "trainable", "layers", "input_layers", "output_layers"}
    return {key: value for key, value in model.get_config().items() if key not in known}


def copied_operation(operation: Any) -> Any:
    """An operation of `keras.ops` once more, not yet called. It has arguments, but no state.

    `copy.copy` would send it through Keras' serialization, which takes an Add for the layer of that name.
    """
    kind: Any = type(operation)
    twin = kind.__new__(kind)
    vars(twin).update(vars(operation), _inbound_nodes=[], _outbound_nodes=[])
    return twin


def held_layers(layer: Any) -> list[Any]:
    """The layers that `layer` holds directly, those of its graph included, in the order in which Keras tracks them."""
    return list(getattr(layer, "_layers", ()))


def forget_layer(holder: Any, layer: Any) -> None:
    """Takes a layer out of Keras' account of an unbuilt one that held it."""
    holder._tracker.untrack(layer)


def order_layers(holder: Any, layers: list[Any]) -> None:
    """Gives the layers that `holder` holds the order of `layers`, in which Keras lists weights and saves."""
    rank = {id(layer): i for i, layer in enumerate(layers)}
    holder._layers.sort(key=lambda layer: rank.get(id(layer), len(rank)))


def own_variables(layer: Any) -> list[Any]:
    """The variables of a layer itself, the states of its random seeds last, without those of layers that it holds."""
    seeds = [generator.state for generator in getattr(layer, "_seed_generators", ())]
    return [*layer._trainable_variables, *layer._non_trainable_variables, *seeds]


def input_layers(functional: Any) -> list[Any]:
    """The layers that stand for the inputs of a Functional model, in the order of its inputs."""
    return [tensor._keras_history.operation for tensor in functional.inputs]


def calls(functional: Any) -> list[Any]:
    """The nodes of a Functional model that compute, so that each comes after those whose tensors it takes.

    Calls of one layer come in the order in which they were made, since Keras numbers them; where the graph was cut out
    of another one and that order is lost, in any.
    """
    by_depth = functional._nodes_by_depth
    nodes = {node: None for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]}
    parents = {node: [parent for parent in node.parent_nodes if parent in nodes] for node in nodes}
    earlier = {node: _call_before(node, nodes) for node in nodes}
    try:
        order = list(TopologicalSorter({node: parents[node] + earlier[node] for node in nodes}).static_order())
    except CycleError:
        order = list(TopologicalSorter(parents).static_order())
    return [node for node in order if not node.is_input]


def tensors_into(functional: Any, node: Any) -> list[Any]:
    """The tensors that a node calls a Functional model with, in the order of its inputs."""
    given = node.arguments.args[0] if node.arguments.args else node.arguments.kwargs["inputs"]
    if isinstance(given, dict) and not isinstance(functional.input, dict):
        names = [tensor.name for tensor in functional.inputs]
        if set(names) <= set(given):  # as Keras does, and not in the order of the keys
            return [given[name] for name in names]
    return list(keras.tree.flatten(given))


def masks_into(node: Any) -> list[Any]:
    """The tensors that a node passes as masks."""
    given = keras.tree.flatten(node.arguments.kwargs.get("mask"))
    return [one for one in given if isinstance(one, keras.KerasTensor)]


def maker(tensor: Any) -> Any:
    """The layer that a symbolic tensor comes from."""
    return tensor._keras_history.operation


def fits(shape: tuple[int | None, ...], dtype: str, tensor: Any) -> bool:
    """Whether a Functional model takes a value of that shape and dtype for its input `tensor` as it is."""
    return len(shape) == len(tensor.shape) and dtype == tensor.dtype


def fitted(value: Any, tensor: Any) -> Any:
    """A value as a Functional model takes it for its input `tensor`: of that dtype, and with or without a last axis."""
    value = keras.ops.cast(value, tensor.dtype)
    if len(value.shape) == len(tensor.shape) + 1:
        return keras.ops.squeeze(value, axis=-1)
    return keras.ops.expand_dims(value, axis=-1) if len(value.shape) == len(tensor.shape) - 1 else value


def takes_training(operation: Any) -> bool:
    """Whether a layer, or an operation of `keras.ops`, takes `training` when it is called."""
    return "training" in getattr(operation, "_call_context_args", ())


def _call_before(node: Any, nodes: dict[Any, None]) -> list[Any]:
    """The last call of the same layer before this one, among `nodes`."""
    made = node.operation._inbound_nodes
    return next(([other] for other in reversed(made[: made.index(node)]) if other in nodes), [])


def carry_value(variable: Any, twin: Any) -> None:
    """Gives a variable the value of another one. A copy: a step on JAX gives the arrays of its model away."""
    twin.assign(keras.ops.copy(variable.value))


def carry_flags(layer: Any, twin: Any) -> None:
    """Gives a layer the flags, the path and the dtype policy of another one."""
    twin.name, twin._path = layer.name, layer._path
    twin._trainable, twin._remat_mode = layer._trainable, layer._remat_mode
    twin._dtype_policy, twin._supports_masking = layer._dtype_policy, layer._supports_masking


def carry_flags_of_variable(variable: Any, twin: Any) -> None:
    """Gives a variable the flags and the path of another one, and what was put upon it after it was made."""
    twin.trainable, twin._path = variable.trainable, variable._path
    for name in ("regularizer", "constraint"):
        if hasattr(variable, name):
            setattr(twin, name, getattr(variable, name))


@contextmanager
def losses_kept(layers: Iterable[Any]) -> Iterator[None]:
    """Calls within leave the layers' losses as they were, which a call empties."""
    kept = [(layer, [*layer._losses], {*layer._loss_ids}, [*layer._losses_override]) for layer in layers]
    try:
        yield
    finally:
        for layer, losses, ids, override in kept:
            layer._losses[:], layer._loss_ids, layer._losses_override = losses, ids, override


@contextmanager
def normalizing_in_inference(model: Any) -> Iterator[None]:
    """Calls within normalize as with `trainable = False`; variables and all other layers are left alone."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    before = [layer._trainable for layer in layers]
    try:
        for layer in layers:
            layer._trainable = False
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer._trainable = was


def strategy_of(model: Any) -> Any | None:
    """The `tf.distribute` strategy that a model was made in, where there was one."""
    return getattr(model, "_distribute_strategy", None)


def global_seed() -> Any:
    """The variable from which Keras draws where a random operation was given no seed."""
    return global_seed_generator().state


def where_it_lives(model: Any) -> AbstractContextManager[Any]:
    """The scope of the strategy that a model was made in, in which its variables are made and get values."""
    strategy = strategy_of(model)
    return strategy.scope() if strategy is not None else nullcontext()


def arguments_of_lambda(layer: Any) -> dict[str, Any]:
    """What a Lambda layer was made with, its very functions among it."""
    base = {key: layer.get_config()[key] for key in ("name", "trainable", "dtype")}
    return {"output_shape": layer._output_shape, "mask": layer.mask, "arguments": layer.arguments, **base}


def optimizers_within(optimizer: Any) -> list[Any]:
    """The optimizer whose loss this one scales, or those among which it divides the variables."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return [*([inner] if inner is not None else []), *getattr(optimizer, "_inner_optimizers", ())]


def compile_settings(model: Any) -> dict[str, Any]:
    """What `compile` was called with, as it was given."""
    return dict(model._compile_config.config)


def optimized(optimizer: Any) -> list[Any]:
    """The variables that a built optimizer has state for, in its order."""
    return list(optimizer._trainable_variables)


def function_of_metric(metric: Any) -> Any:
    """The function whose mean a metric takes."""
    return metric._fn


def given_learning_rate(optimizer: Any) -> Any:
    """The schedule or function that an optimizer was given, or the variable that it made of a number."""
    return optimizer._learning_rate


def carry_weight_decay(old: Any, new: Any, variables: Iterable[tuple[Any, Any]]) -> None:
    """Gives an unbuilt optimizer the exceptions from weight decay that `old` has, which no configuration holds."""
    excluded: set[Any] = getattr(old, "_exclude_from_weight_decay", set())
    pattern = getattr(old, "_exclude_from_weight_decay_pattern", None)
    if excluded or pattern:
        new.exclude_from_weight_decay([twin for variable, twin in variables if old._var_key(variable) in excluded])
        new._exclude_from_weight_decay_pattern = pattern
