"""Validation accuracy and training loss by epoch, and what the curves say."""

from evenbatch.report.figures.curve_words import course, key, lost
from evenbatch.report.figures.curves import COLUMNS, HEIGHT, REFERENCED, Quantity, layers, reference, rows
from evenbatch.report.figures.figure import Figure, stacked
from evenbatch.report.reading import StudyFiles
from evenbatch.report.sentences import count, listing, percent, quoted

ACCURACY = Quantity("val_accuracy", "validation accuracy", logarithmic=False)
LOSS = Quantity("loss", "training loss", logarithmic=True)


def validation_accuracy(study: StudyFiles) -> Figure:
    """Validation accuracy of every seed, median and quartiles by epoch, and chance."""
    drawn = [reference("chance", study.summary["chance"]), *rows(study, ACCURACY)]
    return Figure(
        name="validation-accuracy",
        group="Validation accuracy by epoch",
        title="Validation accuracy by epoch",
        key=key(study),
        chart=stacked(*layers(study, ACCURACY, drawn), height=HEIGHT),
        columns=REFERENCED,
        rows=drawn,
        how_to_read="Each thin line is one seed and the thick line is the median of its arm; a "
        "curve that rises earlier belongs to a net that learns faster.",
        what_it_shows=" ".join([*_ends(study), *lost(study)]),
    )


def training_loss(study: StudyFiles) -> Figure:
    """Training loss of every seed, median and quartiles by epoch, on a logarithmic axis."""
    drawn = rows(study, LOSS)
    return Figure(
        name="training-loss",
        group="Training loss by epoch",
        title="Training loss by epoch",
        key=key(study),
        chart=stacked(*layers(study, LOSS, drawn), height=HEIGHT),
        columns=COLUMNS,
        rows=drawn,
        how_to_read="Lower is better, and equal distances on this axis are equal factors; a value "
        "is the mean over the batches of an epoch, in training mode.",
        what_it_shows=" ".join([*course(study, LOSS), *lost(study)]),
    )


def _ends(study: StudyFiles) -> list[str]:
    finals = {name: arm["final_accuracy"]["median"] for name, arm in study.summary["arms"].items()}
    said = [f"{percent(v)} for {quoted(name)}" for name, v in finals.items() if v is not None]
    chance = f"Always answering the most frequent class gives {percent(study.summary['chance'])} (“chance”)."
    if not said:
        return [chance]
    return [f"After {count(study.epochs, 'epoch')} the median is {listing(said)}.", chance]
