"""The figures of a report, one a file: functions from a study's files to charts with words."""

from evenbatch.report.figures.adversarial_losses import adversarial_losses
from evenbatch.report.figures.cost import cost
from evenbatch.report.figures.difference_by_epoch import difference_by_epoch
from evenbatch.report.figures.distance import distance
from evenbatch.report.figures.epochs_to_threshold import epochs_to_threshold
from evenbatch.report.figures.figure import Figure
from evenbatch.report.figures.final_differences import final_differences
from evenbatch.report.figures.learning_curves import training_loss, validation_accuracy
from evenbatch.report.figures.statistics_of_sampling import statistics_of_sampling
from evenbatch.report.figures.variance_shift import variance_shift
from evenbatch.report.reading import StudyFiles

__all__ = ["Figure", "draw"]


def draw(study: StudyFiles) -> list[Figure]:
    """Every figure that a study has the numbers for, in the order of the page."""
    return [
        *(_of_generators(study) if study.adversarial else [validation_accuracy(study), training_loss(study)]),
        *difference_by_epoch(study),
        *final_differences(study),
        *epochs_to_threshold(study),
        *cost(study),
        *variance_shift(study),
    ]


def _of_generators(study: StudyFiles) -> list[Figure]:
    return [distance(study), *statistics_of_sampling(study), *adversarial_losses(study)]
