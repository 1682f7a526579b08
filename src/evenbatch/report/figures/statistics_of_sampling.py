"""One generator sampled in three ways: by its moving statistics, by those of each batch, and by recalibrated ones."""

import altair as alt

from evenbatch.report.by_epoch import quartiles, series
from evenbatch.report.figures.curve_words import key
from evenbatch.report.figures.curves import COLUMNS, HEIGHT, Quantity, layers, of_arm
from evenbatch.report.figures.figure import Figure, numbered, stacked
from evenbatch.report.question import WAYS
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import listing, number, quoted

QUANTITIES = {way: Quantity(f"frechet_{way}", "Fréchet distance", logarithmic=True) for way in WAYS}


def statistics_of_sampling(study: StudyFiles) -> list[Figure]:
    """A figure for each arm whose images depend on the statistics that they are sampled with."""
    arms = [arm for arm in study.arms if _depends(study, arm)]
    return [
        Figure(
            name=numbered("statistics-of-sampling", index, arms),
            group="Three statistics to sample with",
            title=f"Fréchet distance of {quoted(arm)} by statistics",
            key=key(study, study.of(arm)),
            chart=_chart(study, drawn),
            columns=("statistics", *COLUMNS),
            rows=drawn,
            how_to_read="The same generators in each curve. Moving statistics are what a saved generator samples with; "
            "those of the batch make an image depend on the others beside it; recalibrated ones are taken anew over "
            "many batches of noise. Where the curves part, moving statistics are not those of the weights: they lag "
            "behind, or training never moved them.",
            what_it_shows=_what_it_shows(study, arm),
        )
        for index, arm in enumerate(arms)
        for drawn in [_rows(study, arm)]
    ]


def _depends(study: StudyFiles, arm: str) -> bool:
    """Whether any two ways ever differ; a net without moving statistics has one distance for all."""
    ways = [[series(trial, quantity.column) for trial in study.of(arm)] for quantity in QUANTITIES.values()]
    return any(way != ways[0] for way in ways)


def _rows(study: StudyFiles, arm: str) -> list[Row]:
    return [
        {**row, "statistics": way}
        for way, quantity in QUANTITIES.items()
        for row in of_arm(arm, study.of(arm), quantity)
    ]


def _chart(study: StudyFiles, drawn: list[Row]) -> alt.LayerChart:
    return stacked(*layers(study, QUANTITIES[WAYS[0]], drawn, "statistics", WAYS), height=HEIGHT)


def _what_it_shows(study: StudyFiles, arm: str) -> str:
    medians = {
        way: {point.epoch: point.center for point in quartiles([quantity.of(trial) for trial in study.of(arm)])}
        for way, quantity in QUANTITIES.items()
    }
    last = max(set.intersection(*(set(of) for of in medians.values())), default=None)
    if last is None:
        return f"{quoted(arm)} was never measured with all of them."
    said = [f"{number(of[last])} with {way} statistics" for way, of in medians.items()]
    return f"At epoch {last}, the last that was measured, the median of {quoted(arm)} is {listing(said)}."
