"""What is asked of a generator: how far its images are from real ones, by a judge that is the same for every trial.

Images are judged every few epochs and after the last. Less is better, and 0 is best. A trial whose images collapsed has
the distance that they are at; one that diverged has none.
"""

from collections.abc import Callable
from typing import Any

from evenbatch.study import statistics
from evenbatch.study.measures import Question, TrialFiles, Trials
from evenbatch.study.spec import STATISTICS, Specification

JUDGED_ONCE = ("classes", "entropy", "nearest", "diversity")  # of the images of the first way of sampling


def question(trials: Trials, spec: Specification) -> Question:
    """The measures of a generator, the judge, and where real images and noise lie on its scale."""
    assert spec.adversarial is not None
    chosen = spec.adversarial.statistics
    metric = f"frechet_{chosen}"

    def final(column: str) -> Callable[[TrialFiles], float | None]:
        return lambda trial: trial.final(column)

    return Question(
        metric=metric,
        measures={
            "final_frechet": final(metric),
            "best_frechet": lambda trial: trial.best(metric, min),
            **{f"final_frechet_{way}": final(f"frechet_{way}") for way in STATISTICS},
            "final_kernel": final(f"kernel_{chosen}"),
            "final_cross_frechet": final(f"cross_frechet_{chosen}"),
            **{name: final(name) for name in JUDGED_ONCE},
            "g_loss": final("g_loss"),
            "d_loss": final("d_loss"),
            "rises": lambda trial: statistics.rises(trial.column("g_loss")) if trial.finished else None,
        },
        thresholds=[],
        context={"task": "adversarial", **_scale(trials, spec.adversarial.judge)},
        can_collapse=True,
        shares_of_time={"measuring_share": measuring_share},
    )


def measuring_share(trial: TrialFiles) -> float | None:
    """The share of a trial's time that went into drawing and judging images; `seconds` are those of training alone."""
    measuring = sum(value or 0.0 for value in trial.column("measure_seconds"))
    everything = measuring + sum(value or 0.0 for value in trial.column("seconds"))
    return measuring / everything if everything else None


def _scale(trials: Trials, judge: str) -> dict[str, Any]:
    """The judge with its floor and its ceiling, as the first trial of it has them, and the judges of other trials."""
    records = [trial.record.get("yardstick") for of in trials.values() for trial in of]
    there = [record for record in records if record]
    judge = judge or next((record["judge"] for record in there), "")
    ours: dict[str, Any] = next((record for record in there if record["judge"] == judge), {})
    return {
        "judge": {"sha256": judge, **{key: ours.get(key) for key in ("accuracy", "cross_accuracy", "samples")}},
        "other_judges": sorted({record["judge"] for record in there} - {judge}),
        "floor": ours.get("floor"),
        "ceiling": ours.get("ceiling"),
    }
