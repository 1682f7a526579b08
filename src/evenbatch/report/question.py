"""What a study asks: the measure that decides, what else its tables list, and the words for both.

A classification asks for accuracy, an adversarial training for the distance of generated images from real ones.
Everything else of a report is the same for both.
"""

from dataclasses import dataclass
from typing import Any

from evenbatch.report import sentences
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import Format


@dataclass(frozen=True)
class Unit:
    """How a value and a difference of two are said and drawn.

    Args:
        form: A value with its unit.
        signed: A difference with its sign and without its unit.
        size: A difference with its unit and without its sign.
        word: What differences are counted in; empty where they have no unit.
        scale: What a difference is multiplied by before it is drawn.
        ticks: How a drawn difference is shown, as D3 writes formats.
    """

    form: Format
    signed: Format
    size: Format
    word: str
    scale: float
    ticks: str

    @property
    def column(self) -> str:
        """The name of a difference in the files behind the figures."""
        return self.word or "difference"

    @property
    def after(self) -> str:
        """The word behind a signed difference, with the space before it."""
        return f" {self.word}" if self.word else ""


SHARE = Unit(sentences.percent, sentences.signed_points, sentences.points, "points", 100.0, "+.1f")
QUANTITY = Unit(sentences.number, sentences.signed_number, sentences.magnitude, "", 1.0, "+.3~g")
TALLY = Unit(sentences.tally, sentences.signed_number, sentences.magnitude, "", 1.0, "+.3~g")


@dataclass(frozen=True)
class Measure:
    """A number of `summary.json` as the tables show it.

    Args:
        name: Its name there.
        label: What it is called.
        unit: How it is said.
        more_is_better: Which way is better; None where neither is.
        mark: Its name among the numbers of the floor and the ceiling, where it has one.
    """

    name: str
    label: str
    unit: Unit
    more_is_better: bool | None
    mark: str | None = None

    def outcome(self, found: Row) -> tuple[int, int, int]:
        """In how many pairs the arm is better, level and worse."""
        better, worse = (found["above"], found["below"])[:: 1 if self.more_is_better else -1]
        return better, found["equal"], worse


@dataclass(frozen=True)
class Question:
    """What a study asks of its arms.

    Args:
        column: The column of the histories that decides.
        noun: What it is called.
        subject: What was trained.
        reached: How a value is said of what reached it.
        measures: What the tables list, the one that decides first.
        each_trial: What the table of trials lists: a heading and the name of a measure.
        events: What may befall a trial before it comes to a result, as `summary.json` names it.
    """

    column: str
    noun: str
    subject: str
    reached: str
    measures: tuple[Measure, ...]
    each_trial: tuple[tuple[str, str], ...]
    events: tuple[str, ...]

    @property
    def decisive(self) -> Measure:
        """The measure that decides."""
        return self.measures[0]

    def measure(self, name: str) -> Measure:
        """The measure of that name."""
        return next(measure for measure in self.measures if measure.name == name)


def of(study: StudyFiles) -> Question:
    """What this study asks."""
    return _adversarial(study.adversarial["statistics"]) if study.adversarial else CLASSIFICATION


def marks(study: StudyFiles) -> dict[str, dict[str, Any]]:
    """Where real images and noise lie on the scale of the judge, by what a table calls them."""
    found = {"Real images (floor)": study.summary.get("floor"), "Noise (ceiling)": study.summary.get("ceiling")}
    return {name: values for name, values in found.items() if values}


CLASSIFICATION = Question(
    column="val_accuracy",
    noun="validation accuracy",
    subject="the net",
    reached="{} validation accuracy",
    measures=(
        Measure("final_accuracy", "Final validation accuracy", SHARE, more_is_better=True),
        Measure("best_accuracy", "Best validation accuracy", SHARE, more_is_better=True),
        Measure("test_accuracy", "Test accuracy", SHARE, more_is_better=True),
        Measure("final_loss", "Final training loss", QUANTITY, more_is_better=False),
        Measure("final_val_loss", "Final validation loss", QUANTITY, more_is_better=False),
        Measure("oscillation", "Total variation of the training loss", QUANTITY, more_is_better=False),
        Measure("rises", "Rises of the training loss", QUANTITY, more_is_better=False),
    ),
    each_trial=(
        ("Final", "final_accuracy"),
        ("Best", "best_accuracy"),
        ("Test", "test_accuracy"),
        ("Training loss", "final_loss"),
    ),
    events=("diverged",),
)

WAYS = ("moving", "batch", "recalibrated")


def _adversarial(statistics: str) -> Question:
    ways = (
        Measure(f"final_frechet_{way}", f"Fréchet distance, {way} statistics", QUANTITY, False, "frechet")
        for way in WAYS
        if way != statistics
    )
    return Question(
        column=f"frechet_{statistics}",
        noun="Fréchet distance",
        subject="the generator",
        reached="a Fréchet distance of {}",
        measures=(
            Measure("final_frechet", "Fréchet distance at the end", QUANTITY, False, "frechet"),
            Measure("best_frechet", "Best Fréchet distance", QUANTITY, False, "frechet"),
            *ways,
            Measure("final_cross_frechet", "Fréchet distance, second judge", QUANTITY, False, "cross_frechet"),
            Measure("final_kernel", "Kernel distance", QUANTITY, False, "kernel"),
            Measure("classes", "Classes among the images", TALLY, True, "classes"),
            Measure("entropy", "Entropy of the classes", QUANTITY, True, "entropy"),
            Measure("diversity", "Diversity", QUANTITY, None, "diversity"),
            Measure("nearest", "Distance to training images", QUANTITY, None, "nearest"),
            Measure("g_loss", "Generator loss", QUANTITY, None),
            Measure("d_loss", "Discriminator loss", QUANTITY, None),
            Measure("rises", "Rises of the generator loss", QUANTITY, False),
        ),
        each_trial=(
            ("Distance", "final_frechet"),
            ("Best", "best_frechet"),
            ("Kernel", "final_kernel"),
            ("Classes", "classes"),
            ("Diversity", "diversity"),
            ("G loss", "g_loss"),
        ),
        events=("diverged", "collapsed"),
    )
