"""`eb.recalibrate`: a model with population statistics in the place of its moving ones."""

import warnings
from typing import Any

from evenbatch import graph
from evenbatch.surgery.given import require_built
from evenbatch.surgery.rebuild import Rebuilt, rebuild
from evenbatch.surgery.recalibration.options import Options
from evenbatch.surgery.recalibration.progress import Bar, Silent, Watch
from evenbatch.surgery.recalibration.report import Recalibrated, RecalibrationReport
from evenbatch.surgery.recalibration.settling import Outcome, settle
from evenbatch.surgery.recalibration.statistics import moved, variables
from evenbatch.surgery.recalibration.targets import Targets, targets

_CIRCULAR = "it is applied to what came of its own outputs, where it used its statistics as known from the calls before"
_REPEATED = (
    "it is called several times in code, where no graph tells whether one call depends on another; each of them used "
    "its old statistics"
)
_UNMET = "none of the data led to it, or its mask left no value in"


def recalibrate(
    model: Any,
    data: Any,
    *,
    batch_size: int = 32,
    max_batches: int | None = None,
    one_pass: bool = False,
    dropout: bool = False,
    frozen: bool = False,
    tolerance: float | None = None,
    verbose: bool = True,
    return_report: bool = False,
) -> Any:
    """A new model whose batch normalizations have the statistics of a population: those of all of the data.

    Moving statistics lag behind weights that change, forget early batches, and after an average over weights (EMA, SWA)
    belong to a model that never was. Here they are computed: mean and variance of all values that a layer is given,
    by the law of total variance over batches, weighted by count, merged in float64. They do not depend on how the data
    are divided into batches, and every rank of a training on several gets the same, to the bit.

    Layers are taken in the order of dependency: each is given what it will be given in inference, from layers that have
    their new statistics already. What is computed once is kept for the layers behind it while it fits into 1 GiB.
    Layers, models and wrappers that call normalizations in their own code are run once more for each of these, in the
    order in which they are called. Masks are honoured. A layer that is called several times gets the statistics of all
    its calls together; where it is applied to what came of its own outputs, the later calls see its statistics as known
    from the earlier ones, and in code that no graph tells of, its old ones. The report says so.

    The given model is left as it is. Everything but the statistics is the same in the new one, with compile state and
    the optimizer's: training can go on.

    Args:
        model: A built Keras model, of a kind that `upgrade` takes.
        data: What the model was trained on, or a random part of it: an array; (x, y) or (x, y, weights), of which only
            x is used; a dict or a tuple of arrays, the inputs of a model that has several; or an iterable of batches,
            each of them of such a form: a list, a generator, a `tf.data.Dataset`, a torch DataLoader, a
            `keras.utils.PyDataset`. A tuple of as many arrays as the model has inputs, where these are several, is
            those inputs, and so is a list of them; give targets beside them as ((a, b), y). Any other list is one of
            batches. Batches of an iterable are read once and kept in memory up to 1 GiB; beyond, it is iterated anew
            for every stage, and of what can be iterated but once at most 4 GiB are kept. Data that do not tell their
            length must end within 100,000 batches, or be given `max_batches`.
        batch_size: Examples in a batch, where the data are arrays.
        max_batches: How many batches are read at most. Data without an end need it.
        one_pass: Whether to take all layers in a single pass, in which each normalizes a batch by the batch's own
            moments, as in training. The statistics are then those of what a layer sees in training; they depend on how
            the data are divided, the less, the larger the batches are.
        dropout: Whether layers that act otherwise in training, such as dropout, noise and augmentation, do so. By
            default they are off, as in inference.
        frozen: Whether layers with `trainable=False` get new statistics, too. By default they keep theirs.
        tolerance: Where given, reading stops when the estimates of all layers have settled: the standard error of every
            channel's mean, over batches, is below `tolerance` standard deviations, and that of its variance below
            `tolerance` variances, after 10 batches at least. The batches should be drawn at random. The number of
            batches is found out in a pass of its own, as by `one_pass`; each rank finds out its own.
        verbose: Whether a bar on standard error tells how far it is.
        return_report: Whether to return a `RecalibrationReport` of what was done, too.

    Returns:
        The new model; with `return_report=True` the new model and the report.

    Raises:
        InvalidArgument: An option is outside what is allowed, or all layers are frozen.
        InvalidData: The data are of another form or shape, empty, without an end, or lead to values that are not
            finite.
        UnsupportedModel: The model is not built, has no batch normalization, or a part of it cannot be made again.

    Reference:
        Ioffe & Szegedy 2015, "Batch Normalization", algorithm 2, https://arxiv.org/abs/1502.03167. Wu & Johnson 2021,
        "Rethinking 'Batch' in BatchNorm", section 3, https://arxiv.org/abs/2105.07576.
    """
    options = Options(batch_size, max_batches, one_pass, dropout, frozen, tolerance)
    new, report = recalibrated(model, data, options, Bar() if verbose else Silent())
    for note in report.notes:
        warnings.warn(note, stacklevel=2)
    return (new, report) if return_report else new


def recalibrated(model: Any, data: Any, options: Options, watch: Watch) -> tuple[Any, RecalibrationReport]:
    """The new model and the report; see `recalibrate`.

    Args:
        model: The given model.
        data: The data.
        options: How.
        watch: Is told how far it is.
    """
    require_built(model)
    targets(model, frozen=options.frozen)  # refuses what is in vain before anything is made
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Keras says of the model, it said when the given one was made
        rebuilt = rebuild(model, lambda _: None)
    places = targets(rebuilt.model, frozen=options.frozen)
    outcome = settle(rebuilt.model, places, data, options, watch)
    carry_all_but_statistics(rebuilt, places)
    return rebuilt.model, _report(rebuilt, places, outcome)


def carry_all_but_statistics(rebuilt: Rebuilt, places: Targets) -> None:
    """Gives the new model the values of the given one: running it may have moved seeds and other states."""
    statistics = {id(variable) for layer in places.layers for variable in variables(layer)}
    with graph.where_it_lives(rebuilt.model):
        for variable, twin in rebuilt.variables:
            if id(twin) not in statistics:
                graph.carry_value(variable, twin)


def _report(rebuilt: Rebuilt, places: Targets, outcome: Outcome) -> RecalibrationReport:
    given = {id(twin): layer for layer, twin in rebuilt.pairs}
    circular = {id(places.layers[i]) for i in outcome.circular}
    repeated = {id(places.layers[i]) for i in outcome.repeated}
    met = {id(layer): found for layer, found in zip(places.layers, outcome.populations, strict=True)}
    layers = []
    for i, site in enumerate(places.found):
        name, population = type(site.layer).__name__, met.get(id(site.layer))
        if population is None or not population.count:
            layers.append(Recalibrated(site.path, name, "kept", places.kept.get(i, _UNMET)))
            continue
        said = _CIRCULAR if id(site.layer) in circular else _REPEATED if id(site.layer) in repeated else ""
        shift = moved(given[id(site.layer)], population)
        layers.append(Recalibrated(site.path, name, "recalibrated", said, int(population.count), *shift))
    numbers = outcome.batches, outcome.examples, outcome.stages, outcome.settled
    return RecalibrationReport(tuple(layers), *numbers, tuple(rebuilt.notes))
