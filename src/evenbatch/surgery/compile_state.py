"""What `compile` gave a model, carried to its twin, so that training goes on where it was.

Losses are taken as they are, metrics and the optimizer made again, and the optimizer's state is that of the old one:
the next step is the step that the old model would have taken.
"""

from collections.abc import Callable, Iterable
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
    return _compiled(model, new, lambda: _optimizer(model.optimizer, variables))


def carry_settings(model: Any, new: Any, _: Iterable[Pair]) -> list[str]:
    """Compiles the new model with what the old one was compiled with, as if neither had been trained since.

    For a model with other weights than the old one, of which the optimizer's state says nothing.

    Args:
        model: The old model.
        new: The new one.
        _: Every variable and its twin.

    Returns:
        What could not be carried, a sentence each.

    Raises:
        UnsupportedModel: the optimizer cannot be made again.
    """
    return _compiled(model, new, lambda: _fresh_optimizer(model.optimizer))


def _compiled(model: Any, new: Any, optimizer: Callable[[], Any]) -> list[str]:
    if not getattr(model, "compiled", False):
        return []
    if type(model).compile is not keras.Model.compile:
        return [
            f"{type(model).__name__} has a compile() of its own, so the new model is not compiled; "
            "compile it before you train or evaluate it"
        ]
    settings = {**graph.compile_settings(model), "optimizer": optimizer()}
    for name in ("metrics", "weighted_metrics"):
        settings[name] = _again(settings[name])
    new.compile(**settings, auto_scale_loss=False)  # the optimizer is wrapped already
    new.run_eagerly, new.steps_per_execution = model.run_eagerly, model.steps_per_execution
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
        config = old.get_config()
        if type(old) is keras.metrics.MeanMetricWrapper:
            config["fn"] = graph.function_of_metric(old)  # the very function, registered or not
            return type(old)(**config)
        return type(old).from_config(config)
    except Exception as error:
        raise _cannot_be_carried("metric", old, error) from error


def _optimizer(old: Any, variables: Iterable[Pair]) -> Any:
    if old is None:
        return None
    twins = {id(variable): twin for variable, twin in variables}
    try:
        new = _optimizer_again(old)
        for one, other in zip(_with_inner(old), _with_inner(new), strict=True):
            graph.carry_weight_decay(one, other, variables)
        if old.built:
            new.build([twins[id(variable)] for variable in graph.optimized(old)])
        for variable, twin in zip(old.variables, new.variables, strict=True):
            graph.carry_value(variable, twin)
    except KeyError as error:
        raise UnsupportedModel(
            f"the optimizer, {type(old).__name__}, has state for variables that are not in the model; compile it with "
            "an optimizer of its own"
        ) from error
    except Exception as error:
        raise _cannot_be_carried("optimizer", old, error) from error
    return new


def _fresh_optimizer(old: Any) -> Any:
    try:
        return None if old is None else _optimizer_again(old)
    except Exception as error:
        raise _cannot_be_carried("optimizer", old, error) from error


def _cannot_be_carried(what: str, thing: Any, error: Exception) -> UnsupportedModel:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return UnsupportedModel(
        f"the {what} {type(thing).__name__} cannot be made again from its configuration ({reason}); give the class a "
        "get_config() with every argument of its constructor, or compile the model without it"
    )


def _optimizer_again(old: Any) -> Any:
    """With the very schedule or function that gives its learning rate, which has no state."""
    config = old.get_config()
    if isinstance(config.get("learning_rate"), dict):
        config["learning_rate"] = graph.given_learning_rate(old)
    if (inner := getattr(old, "inner_optimizer", None)) is None:
        return type(old).from_config(config)
    config.pop("inner_optimizer")
    return type(old)(_optimizer_again(inner), **config)


def _with_inner(optimizer: Any) -> list[Any]:
    return [optimizer, *(found for inner in graph.optimizers_within(optimizer) for found in _with_inner(inner))]
