"""`upgrade` and `to_keras`: every batch normalization of a model exchanged, Keras' for ours and back."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import InvalidArgument, UnsupportedModel
from evenbatch.layers import BatchNormalization
from evenbatch.layers.moving_statistics import MovingStatistics
from evenbatch.sites import Site, sites
from evenbatch.surgery.given import require_built
from evenbatch.surgery.promise import check
from evenbatch.surgery.rebuild import Rebuilt, rebuild
from evenbatch.surgery.report import Change, SurgeryReport
from evenbatch.surgery.state import Pair

_KERAS = keras.layers.BatchNormalization
_SETTINGS = (*(set(inspect.signature(_KERAS).parameters) - {"kwargs", "synchronized"}), "activity_regularizer")
"""The arguments of Keras' layer that both layers keep in attributes of the same name."""

Decide = Callable[[Site], tuple[Any, str]]
"""What is to stand in a layer's place, or None to keep it; and what is to be said of it."""


def upgrade(model: Any, synchronized: bool = True, *, return_report: bool = False) -> Any:
    """A new model with `eb.BatchNormalization` in the place of every batch normalization of Keras'.

    Weights, function, names, frozen layers, seeds, compile state and the optimizer's state are those of the given
    model, which is left as it is: training goes on where it was. Layers that are ours already get the same
    `synchronized`. A subclass of Keras' layer has code of its own and stays. The new model is compared with the given
    one before it is returned. It is compiled anew: where layers were frozen after the given model was compiled, its
    own steps still train them, and those of the new one do not.

    Args:
        model: A built Keras model: Functional, Sequential, with models, wrappers and shared layers in it, or of a class
            that its configuration makes again.
        synchronized: Whether replicas that see parts of one global batch are to share its statistics.
        return_report: Whether to return a `SurgeryReport` of what was done, too.

    Returns:
        The new model; with `return_report=True` the new model and the report.

    Raises:
        UnsupportedModel: The model is not built, or a part of it cannot be made again.
        BrokenPromise: The new model does not compute what the given one does.

    Warns:
        UserWarning: There is no batch normalization of Keras' in the model, and an equal one is returned; or something
            could not be carried, such as the compile state of a class with a compile() of its own.
    """
    if not isinstance(synchronized, bool):
        raise InvalidArgument(f"synchronized must be True or False, received {synchronized!r}")
    new, report = _exchange(model, lambda site: _to_ours(site, synchronized), "Keras'")
    return (new, report) if return_report else new


def to_keras(model: Any, synchronized: bool | None = None, *, return_report: bool = False) -> Any:
    """A new model with Keras' own layer in the place of every `eb.BatchNormalization`, to be read without evenbatch.

    The reverse of `upgrade`, with the same care. What `debias` keeps count of, Keras' layer does not know: the moving
    statistics are carried as they are, and go on as Keras' do.

    Args:
        model: A built Keras model, of a kind that `upgrade` takes.
        synchronized: What Keras' layer is to be given for that argument. By default that of ours where Keras accepts
            it, which is on TensorFlow, and False elsewhere. With True, Keras' layer takes the variance in one pass,
            which costs accuracy where the mean is far from 0, and its file loads on no other backend.
        return_report: Whether to return a `SurgeryReport` of what was done, too.

    Returns:
        The new model; with `return_report=True` the new model and the report.

    Raises:
        InvalidArgument: `synchronized=True` on a backend where Keras refuses it.
        UnsupportedModel: The model is not built, a part of it cannot be made again, or it holds a layer of ours that
            has no counterpart in Keras.
        BrokenPromise: The new model does not compute what the given one does.

    Warns:
        UserWarning: As for `upgrade`.
    """
    accepted = keras.backend.backend() == "tensorflow"
    if synchronized and not accepted:
        raise InvalidArgument(
            f"synchronized=True is accepted by Keras' layer on TensorFlow alone, received it on "
            f"{keras.backend.backend()}; leave it out"
        )
    new, report = _exchange(model, lambda site: _to_keras(site, synchronized, accepted), "evenbatch's")
    return (new, report) if return_report else new


def _exchange(model: Any, decide: Decide, what: str) -> tuple[Any, SurgeryReport]:
    """The new model and the report, when both have been checked."""
    require_built(model)
    decided = {id(site.layer): (site, *decide(site)) for site in sites(model) if isinstance(site.layer, _KERAS)}
    exchanged = [(site.layer, new) for site, new, _ in decided.values() if new is not None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says of the model, it said when the given one was made
        rebuilt = rebuild(model, lambda layer: decided.get(id(layer), (None, None))[1])
        agreement = check(model, rebuilt.model, exchanged, rebuilt.variables)
    changes = tuple(
        Change(site.path, type(site.layer).__name__, "kept" if new is None else "exchanged", said)
        for site, new, said in decided.values()
        if new is not None or said
    )
    notes = [*rebuilt.notes, *_made_in_constructors(rebuilt, exchanged)]
    if not exchanged:
        notes.insert(0, f"There is no batch normalization of {what} to exchange in this model: the new one is equal.")
    for note in notes:
        warnings.warn(note, stacklevel=3)
    return rebuilt.model, SurgeryReport(changes, tuple(notes), *agreement)


def _to_ours(site: Site, synchronized: bool) -> tuple[Any, str]:
    layer = site.layer
    if type(layer) is _KERAS:
        return _ours_like(site, synchronized=synchronized), ""
    if type(layer) is not BatchNormalization:
        return None, "" if _is_ours(layer) else "it is a subclass of Keras' layer, with code of its own"
    if layer.synchronized == synchronized:
        return None, ""
    again = _ours_like(site, synchronized=synchronized, debias=layer.debias)
    return again, f"it was ours already, synchronized is {synchronized} now"


def _to_keras(site: Site, synchronized: bool | None, accepted: bool) -> tuple[Any, str]:
    layer = site.layer
    if not _is_ours(layer):
        return None, ""
    if type(layer) is not BatchNormalization:
        raise UnsupportedModel(
            f"{site.path}: Keras has no layer that computes what {type(layer).__name__} does, so the model cannot be "
            "read without evenbatch; take that layer out, or keep the model as it is"
        )
    wanted = layer.synchronized if synchronized is None else synchronized
    said = "its count for debias is left out, since Keras' layer has none" if layer.debias else ""
    return _like(_KERAS, layer, synchronized=wanted and accepted), said


def _ours_like(site: Site, **more: Any) -> Any:
    try:
        return _like(BatchNormalization, site.layer, **more)
    except InvalidArgument as error:  # such as a momentum of 1.5, which Keras takes
        raise UnsupportedModel(f"{site.path}: {error}") from None


def _is_ours(layer: Any) -> bool:
    return isinstance(layer, MovingStatistics)


def _like(kind: Any, layer: Any, **more: Any) -> Any:
    """A layer of that kind with the settings of another one."""
    settings = {name: getattr(layer, name) for name in _SETTINGS}
    more |= {"name": layer.name, "trainable": layer.trainable, "dtype": layer.dtype_policy, "autocast": layer.autocast}
    return kind(**settings, **more)


def _made_in_constructors(rebuilt: Rebuilt, exchanged: list[Pair]) -> list[str]:
    """A sentence for each class whose configuration would make the exchanged layer again as it was."""
    new = {id(twin) for _, twin in exchanged}
    return [
        f"{layer.name}: {type(layer).__name__} makes its normalization in its own constructor, so a saved file of the "
        "new model loads with the old layer; let the constructor take the layer, and its configuration hold it."
        for layer, twin in rebuilt.pairs
        if _is_the_users(layer) and new & {id(site.layer) for site in sites(twin)} and not _comes_back(twin)
    ]


def _is_the_users(layer: Any) -> bool:
    """Whether a class that Keras does not have calls the layers that it holds."""
    return graph.graph_of(layer) is None and not type(layer).__module__.startswith("keras.")


def _comes_back(layer: Any) -> bool:
    try:
        with keras.saving.custom_object_scope({type(s.layer).__name__: type(s.layer) for s in sites(layer)}):
            again = type(layer).from_config(layer.get_config())
    except Exception:
        return False
    before, after = ([type(s.layer) for s in sites(one) if isinstance(s.layer, _KERAS)] for one in (layer, again))
    return before == after
