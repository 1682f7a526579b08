"""Distance of generated images from real ones by epoch, between the floor and the ceiling."""

from evenbatch.report import question
from evenbatch.report.figures.curve_words import course, key, lost
from evenbatch.report.figures.curves import HEIGHT, REFERENCED, Quantity, layers, reference, rows
from evenbatch.report.figures.figure import Figure, stacked
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import number


def distance(study: StudyFiles) -> Figure:
    """Distance of every seed, median and quartiles at the epochs that were measured."""
    asked = question.of(study)
    quantity = Quantity(asked.column, asked.noun, logarithmic=True)
    drawn = [*_ends(study), *rows(study, quantity)]
    return Figure(
        name="distance",
        group=f"{asked.noun} by epoch",
        title=f"{asked.noun} by epoch",
        key=key(study),
        chart=stacked(*layers(study, quantity, drawn), height=HEIGHT),
        columns=REFERENCED,
        rows=drawn,
        how_to_read="Lower is better, and equal distances on this axis are equal factors. The floor is how far as many "
        "fresh real images lie from real ones: what lies below it are copies of training images, as their distance to "
        "these tells, or sets too small to tell. The ceiling is noise, and images that are all alike can lie above it.",
        what_it_shows=" ".join(
            [*course(study, quantity, "the first epoch that was measured"), *_between(study), *lost(study)]
        ),
    )


def _ends(study: StudyFiles) -> list[Row]:
    """The lines of the floor and the ceiling, where they were found; a logarithmic axis has no place for zero."""
    found = {name: (study.summary[name] or {}).get("frechet") for name in ("floor", "ceiling")}
    return [reference(name, value) for name, value in found.items() if value and value > 0]


def _between(study: StudyFiles) -> list[str]:
    said = [f"the {row['name']} is {number(row['value'])}" for row in _ends(study)]
    return [f"{' and '.join(said).capitalize()}."] if said else []
