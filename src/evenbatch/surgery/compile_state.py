"""What `compile` gave a model, carried to its twin, so that training goes on where it was.

Losses are taken as they are, metrics and the optimizer made again, and the optimizer's state is that of the old one:
the next step is the step that the old model would have taken.
"""

import copy
from collections.abc import Iterable
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import UnsupportedModel
from evenbatch.surgery.state import Pair


def carry_compile_state(model: Any, new: Any, variables: Iterable[Pair]) -> list[str]:
    """Compiles the new model as the old one is.

    Args:
        model: The old model.
        new: The new one.
        variables: Every variable and its twin.

    Returns:
        What could not be carried, a sentence each.

    Raises:
        UnsupportedModel: the optimizer cannot be made again.
    """
    if not getattr(model, "compiled", False):
        return []
    if type(model).compile is not keras.Model.compile:
        return [
            f"{type(model).__name__} has a compile() of its own, so the new model is not compiled; "
            "compile it before you train it"
        ]
    optimizer = _optimizer(model.optimizer, variables)
    settings = graph.compile_settings(model)
    for name in ("metrics", "weighted_metrics"):
        settings[name] = _again(settings[name])
    new.compile(**{**settings, "optimizer": optimizer})
    return []


def _again(metrics: Any) -> Any:
    """The same structure of names, functions and metrics, with new metrics, since these have state."""
    if isinstance(metrics, keras.metrics.Metric):
        return _metric(metrics)
    if isinstance(metrics, dict):
        return {key: _again(one) for key, one in metrics.items()}
    return [_again(one) for one in metrics] if isinstance(metrics, list | tuple) else metrics


def _metric(old: Any) -> Any:
    try:
        return type(old).from_config(old.get_config())
    except Exception:
        return copy.deepcopy(old)  # such as one with a function of the user's, which cannot be read back


def _optimizer(old: Any, variables: Iterable[Pair]) -> Any:
    if old is None:
        return None
    new, twins = _optimizer_again(old), {id(variable): twin for variable, twin in variables}
    for one, other in zip(_with_inner(old), _with_inner(new), strict=True):
        graph.carry_weight_decay(one, other, variables)
    if old.built:
        new.build([twins[id(variable)] for variable in graph.optimized(old)])
    for variable, twin in zip(old.variables, new.variables, strict=True):
        graph.carry_value(variable, twin)
    return new


def _optimizer_again(old: Any) -> Any:
    """With the very schedule or function that gives its learning rate, which has no state."""
    try:
        config = old.get_config()
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = graph.given_learning_rate(old)
        if (inner := getattr(old, "inner_optimizer", None)) is None:
            return type(old).from_config(config)
        config.pop("inner_optimizer")
        return type(old)(_optimizer_again(inner), **config)
    except Exception as error:
        raise UnsupportedModel(
            f"the optimizer, {type(old).__name__}, cannot be made again from its configuration ({error}); give the "
            "class a get_config() with every argument of its constructor"
        ) from error


def _with_inner(optimizer: Any) -> list[Any]:
    inner = getattr(optimizer, "inner_optimizer", None)  # of one that scales the loss
    return [optimizer, *(_with_inner(inner) if inner is not None else ())]
