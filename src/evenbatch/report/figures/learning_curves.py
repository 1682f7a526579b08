"""Validation accuracy and training loss by epoch, and what the curves say."""

import altair as alt

from evenbatch.report.by_epoch import FEWEST_FOR_QUARTILES, quartiles
from evenbatch.report.figures.curves import COLUMNS, Quantity, layers, rows, vertical
from evenbatch.report.figures.figure import Figure, layer, seeds_phrase, stacked
from evenbatch.report.reading import StudyFiles
from evenbatch.report.sentences import count, listing, losses, number, percent, quoted

HEIGHT = 290
ACCURACY = Quantity("val_accuracy", "validation accuracy", logarithmic=False)
LOSS = Quantity("loss", "training loss", logarithmic=True)


def validation_accuracy(study: StudyFiles) -> Figure:
    """Validation accuracy of every seed, median and quartiles by epoch, and chance."""
    drawn = [{"kind": "reference", "value": study.summary["chance"]}, *rows(study, ACCURACY)]
    y = vertical(ACCURACY, drawn)
    line = layer("reference").mark_rule(style="reference").encode(y=y)
    note = layer("reference").mark_text(style="note", align="right", baseline="bottom", dx=-4, dy=-3)
    named = note.encode(x=alt.value("width"), y=y, text=alt.value("chance"))
    return Figure(
        name="validation-accuracy",
        group="Validation accuracy by epoch",
        title="Validation accuracy by epoch",
        key=_key(study),
        chart=stacked(line, named, *layers(study, ACCURACY, drawn), height=HEIGHT),
        columns=COLUMNS,
        rows=drawn,
        how_to_read="Each thin line is one seed and the thick line is the median of its arm; a "
        "curve that rises earlier belongs to a net that learns faster.",
        what_it_shows=" ".join([*_ends(study), *_lost(study)]),
    )


def training_loss(study: StudyFiles) -> Figure:
    """Training loss of every seed, median and quartiles by epoch, on a logarithmic axis."""
    drawn = rows(study, LOSS)
    return Figure(
        name="training-loss",
        group="Training loss by epoch",
        title="Training loss by epoch",
        key=_key(study),
        chart=stacked(*layers(study, LOSS, drawn), height=HEIGHT),
        columns=COLUMNS,
        rows=drawn,
        how_to_read="Lower is better, and equal distances on this axis are equal factors; a value "
        "is the mean over the batches of an epoch, in training mode.",
        what_it_shows=" ".join([*_course(study), *_lost(study)]),
    )


def _lost(study: StudyFiles) -> list[str]:
    arms = study.summary["arms"].items()
    return [f"{text}." for name, arm in arms for text in losses(name, arm)]


def _key(study: StudyFiles) -> str:
    band = "band: interquartile range over seeds, pointwise"
    if len(study.seeds) < FEWEST_FOR_QUARTILES:
        band = f"no band for fewer than {FEWEST_FOR_QUARTILES} seeds"
    crosses = "; ×: diverged, and in no median after it" if any(trial.diverged for trial in study.trials) else ""
    return f"Thick: median; {band}; thin: one seed each; {seeds_phrase(study)}{crosses}"


def _ends(study: StudyFiles) -> list[str]:
    finals = {name: arm["final_accuracy"]["median"] for name, arm in study.summary["arms"].items()}
    said = [f"{percent(v)} for {quoted(name)}" for name, v in finals.items() if v is not None]
    chance = f"Always answering the most frequent class gives {percent(study.summary['chance'])} (“chance”)."
    if not said:
        return [chance]
    return [f"After {count(study.epochs, 'epoch')} the median is {listing(said)}.", chance]


def _course(study: StudyFiles) -> list[str]:
    medians = {arm: quartiles([LOSS.of(trial) for trial in study.of(arm)]) for arm in study.arms}
    said = [
        f"from {number(points[0].center)} to {number(points[-1].center)} for {quoted(arm)}"
        for arm, points in medians.items()
        if points
    ]
    return [f"From the first epoch to the last the median goes {listing(said)}."] if said else []
