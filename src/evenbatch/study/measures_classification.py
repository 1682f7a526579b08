"""What is asked of a classification: accuracy and loss, and how soon.

Accuracies are shares in [0, 1]. Chance is what answering the most frequent class of the validation data would give.
"""

import math

from evenbatch.study import statistics
from evenbatch.study.measures import Question, TrialFiles, Trials
from evenbatch.study.spec import Specification

METRIC = "val_accuracy"
LEVELS = (0.5, 0.8, 0.95)  # of the way from chance to the best arm's median


def question(trials: Trials, spec: Specification) -> Question:
    """The measures of a classification, and the thresholds that its trials suggest."""
    return Question(
        metric=METRIC,
        measures={
            "final_accuracy": lambda trial: trial.final(METRIC),
            "best_accuracy": _best,
            "test_accuracy": lambda trial: _test(trial, "accuracy"),
            "final_loss": lambda trial: trial.final("loss"),
            "final_val_loss": lambda trial: trial.final("val_loss"),
            "oscillation": lambda trial: statistics.total_variation(trial.column("loss")) if trial.finished else None,
            "rises": lambda trial: statistics.rises(trial.column("loss")) if trial.finished else None,
        },
        thresholds=_thresholds(trials, spec.data.majority),
        context={"chance": spec.data.majority},
    )


def _best(trial: TrialFiles) -> float | None:
    return trial.best(METRIC, max)


def _test(trial: TrialFiles, name: str) -> float | None:
    return (trial.record["test"] or {}).get(name) if trial.finished else None


def _thresholds(trials: Trials, chance: float) -> list[float]:
    """Levels between chance and the best median of any arm, in whole percent."""
    medians = [statistics.distribution([_best(trial) for trial in of])["median"] for of in trials.values()]
    best = max((value for value in medians if value is not None), default=chance)
    levels = {math.floor(100 * (chance + level * (best - chance))) / 100 for level in LEVELS}
    return sorted(level for level in levels if level > chance)
