"""What stands beside curves by epoch: their key, their course, and the seeds that they lost."""

from collections.abc import Sequence

from evenbatch.report import question
from evenbatch.report.by_epoch import FEWEST_FOR_QUARTILES, quartiles
from evenbatch.report.figures.curves import Quantity
from evenbatch.report.figures.figure import seeds_phrase
from evenbatch.report.reading import StudyFiles, Trial
from evenbatch.report.sentences import event, listing, number, quoted


def key(study: StudyFiles, trials: Sequence[Trial] = ()) -> str:
    """What lines, bands and crosses stand for, where those trials are drawn; by default all."""
    band = "band: interquartile range over seeds, pointwise"
    if len(study.seeds) < FEWEST_FOR_QUARTILES:
        band = f"no band for fewer than {FEWEST_FOR_QUARTILES} seeds"
    crosses = (
        "; ×: diverged, and in no median after it" if any(trial.diverged for trial in trials or study.trials) else ""
    )
    return f"Thick: median; {band}; thin: one seed each; {seeds_phrase(study)}{crosses}"


def lost(study: StudyFiles) -> list[str]:
    """A sentence for each arm and each thing that befell its seeds."""
    arms, words = study.summary["arms"].items(), (*question.of(study).events, "failed")
    return [f"{text}." for name, arm in arms for word in words for text in event(name, arm, word)]


def course(study: StudyFiles, quantity: Quantity, first: str = "the first epoch") -> list[str]:
    """Where the medians of the arms begin and end, from what `first` calls their beginning."""
    medians = {arm: quartiles([quantity.of(trial) for trial in study.of(arm)]) for arm in study.arms}
    said = [
        f"from {number(points[0].center)} to {number(points[-1].center)} for {quoted(arm)}"
        for arm, points in medians.items()
        if points
    ]
    return [f"From {first} to the last the median goes {listing(said)}."] if said else []
