"""Losses of discriminator and generator by epoch: whether either has won."""

from math import log

from evenbatch.report.figures.curve_words import course, key, lost
from evenbatch.report.figures.curves import HEIGHT, REFERENCED, Quantity, layers, reference, rows
from evenbatch.report.figures.figure import Figure, stacked
from evenbatch.report.reading import StudyFiles

DISCRIMINATOR = Quantity("d_loss", "discriminator loss", logarithmic=True)
GENERATOR = Quantity("g_loss", "generator loss", logarithmic=True)
# What a discriminator loses that gives every image one half: cross-entropies of real and generated images for it, and
# that of generated ones called real for the generator.
UNDECIDED = {"d_loss": 2 * log(2), "g_loss": log(2)}


def adversarial_losses(study: StudyFiles) -> list[Figure]:
    """A figure for each of the two networks."""
    return [_figure(study, quantity) for quantity in (DISCRIMINATOR, GENERATOR)]


def _figure(study: StudyFiles, quantity: Quantity) -> Figure:
    drawn = [reference("undecided", UNDECIDED[quantity.column]), *rows(study, quantity)]
    return Figure(
        name=quantity.noun.replace(" ", "-"),
        group="Losses by epoch",
        title=f"{quantity.noun.capitalize()} by epoch",
        key=key(study),
        chart=stacked(*layers(study, quantity, drawn), height=HEIGHT),
        columns=REFERENCED,
        rows=drawn,
        how_to_read="“Undecided” is a discriminator that gives every image one half: it loses 1.386, its generator "
        "0.693. The further below that the discriminator gets, the better it tells real from generated images, and the "
        "generator’s loss climbs. Neither loss says how good the images are, since each depends on the other network.",
        what_it_shows=" ".join([*course(study, quantity), *lost(study)]),
    )
