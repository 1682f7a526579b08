"""`fold`: a model for inference, with its batch normalizations in the layers around them.

A normalization that follows a linear layer, in inference, is a part of that layer: `affine.py` says what it computes,
`linear.py` which layers take it in, `kernels.py` and `normalization.py` how, `between.py` what it may be moved through
to reach one, `way.py` and `plan.py` where each goes, and `proof.py` checks the result place by place.
"""

import warnings
from typing import Any

import keras
import numpy as np

from evenbatch import graph
from evenbatch.errors import UnsupportedModel
from evenbatch.sites import Site, Walk, walk
from evenbatch.surgery.compile_state import carry_settings
from evenbatch.surgery.folding.plan import Plan, planned
from evenbatch.surgery.folding.proof import check
from evenbatch.surgery.given import require_built
from evenbatch.surgery.rebuild import Rebuilt, rebuild
from evenbatch.surgery.report import Change, SurgeryReport
from evenbatch.surgery.twins import Gone, fixed_within

__all__ = ["fold"]


def fold(model: Any, *, return_report: bool = False) -> Any:
    """A new model for inference, without the batch normalizations that the layers around them can take in.

    In inference a batch normalization multiplies and adds, channel by channel. What it does becomes part of the kernel
    and the bias of the layer before it, where that is linear (convolutions of any kind and `Dense`) and works for it
    alone; or else of the layers after it, where it is exact: not where they pad with zeros. Pooling, dropout,
    concatenation, sums and the like may be in between. A normalization that no layer can take in stays as it is, and
    the report says why. The given model is left as it is. The new one is compiled as it was, with an optimizer that has
    seen no step; where layers took something in, it has no regularizers and constraints, which were for other weights.

    Every place where something was folded is run by itself and compared with what was there, and the outputs of the
    whole are compared, before the new model is returned.

    Args:
        model: A built Keras model, of a kind that `upgrade` takes, with Keras' layers or ours.
        return_report: Whether to return a `SurgeryReport` of what was done, too.

    Returns:
        The new model; with `return_report=True` the new model and the report.

    Raises:
        UnsupportedModel: The model is not built, has no batch normalization, a part of it cannot be made again, or
            moving statistics are no numbers.
        BrokenPromise: The new model does not compute what the given one does.

    Warns:
        UserWarning: No normalization could be folded, and an equal model is returned; or something could not be
            carried, such as the losses of a class with a compile() of its own.

    Reference:
        Ioffe & Szegedy 2015, "Batch Normalization", section 3.1, https://arxiv.org/abs/1502.03167: in inference the
        layer is a linear transform, and may be composed with that before it.
    """
    require_built(model)
    walked = walk(model)
    _require_normalization(model, walked.sites)
    plan = planned(walked, fixed_within(model))
    twins = {id(site.layer): layer.twin() for site, layer in plan.changed.items()}
    twins |= {id(site.layer): Gone(keeps_name=_names_an_output(site, walked)) for site in plan.moves}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says of the model, it said when the given one was made
        rebuilt = rebuild(model, lambda layer: twins.get(id(layer)), carry_settings)
        with graph.where_it_lives(model):
            _fill(plan, rebuilt)
        agreement = check(model, walked, plan, rebuilt)
    notes = [*_notes(plan), *rebuilt.notes]
    for note in notes:
        warnings.warn(note, stacklevel=2)
    report = SurgeryReport(_changes(walked.sites, plan), tuple(notes), *agreement.outputs, agreement.places)
    return (rebuilt.model, report) if return_report else rebuilt.model


def _require_normalization(model: Any, sites: list[Site]) -> None:
    if not any(isinstance(site.layer, keras.layers.BatchNormalization) for site in sites):
        raise UnsupportedModel(
            f"the model {model.name!r} has no batch normalization, so that there is nothing to fold; use it as it is"
        )


def _names_an_output(site: Site, walked: Walk) -> bool:
    """Whether an output of the model has the name of a layer."""
    return any(value.source is site for value in walked.outputs)


def _notes(plan: Plan) -> list[str]:
    if not plan.moves:
        return ["Nothing could be folded: the new model is equal."]
    gone = [variable for site in [*plan.changed, *plan.moves] for variable in site.layer.weights]
    of_weights = any(one.regularizer is not None or one.constraint is not None for one in gone)
    if not of_weights and all(getattr(site.layer, "activity_regularizer", None) is None for site in plan.changed):
        return []
    return [
        "Regularizers and constraints of layers that took something in are gone, since they were meant for other "
        "weights; the loss is without them."
    ]


def _fill(plan: Plan, rebuilt: Rebuilt) -> None:
    """Gives the layers that have taken something in their weights."""
    twins = {id(layer): twin for layer, twin in rebuilt.pairs}
    for site, layer in plan.changed.items():
        values = layer.values()
        for variable in twins[id(site.layer)].weights:
            variable.regularizer = variable.constraint = None  # they were meant for other weights
            if variable.name in values:
                variable.assign(np.broadcast_to(values[variable.name], variable.shape))


def _ends(site: Site, plan: Plan) -> list[Site]:
    """The layers that stay and have a normalization in them, in the end."""
    if site not in plan.moves:
        return [site]
    return list(dict.fromkeys(end for one in plan.moves[site].into for end in _ends(one, plan)))


def _changes(sites: list[Site], plan: Plan) -> tuple[Change, ...]:
    found = []
    for site in sites:
        kind = type(site.layer).__name__
        if site in plan.moves:
            found.append(Change(site.path, kind, "folded", into=tuple(one.path for one in _ends(site, plan))))
        elif site in plan.kept:
            found.append(Change(site.path, kind, "kept", plan.kept[site]))
    return tuple(found)
