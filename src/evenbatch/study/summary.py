"""From a study's directory to every number that its report prints.

What is asked of a trial depends on what was trained (`measures_classification`, `measures_adversarial`); how arms are
summed up and compared does not. A trial that diverged has no final result; its best epoch before that counts, and in
the comparison of times it has reached no threshold that it had not reached before. A trial that failed says nothing of
its arm and is left out of both.
"""

import math
from pathlib import Path
from statistics import median
from typing import Any

from evenbatch.study import measures_adversarial, measures_classification, statistics, store
from evenbatch.study.measures import Question, TrialFiles, Trials
from evenbatch.study.spec import Pair, Specification


def summarize(folder: Path) -> dict[str, Any]:
    """The summary of a study whose trials are all complete.

    Returns:
        A JSON value: `arms` and `pairs` with a distribution or a paired comparison for each measure of the question,
        `thresholds`, `variance_shift` where it was probed, `trials`, and `timing`, which alone differs from run to run.

    Raises:
        StorageError: a file of the study is missing or damaged.
    """
    spec = store.read_specification(folder)
    trials = {arm.name: [TrialFiles(folder, arm.name, seed) for seed in spec.seeds] for arm in spec.arms}
    asks = measures_classification if spec.adversarial is None else measures_adversarial
    question = asks.question(trials, spec)
    return {
        "format": store.FORMAT,
        "metric": question.metric,
        **question.context,
        "thresholds": question.thresholds,
        "arms": {name: _arm(of, question, spec) for name, of in trials.items()},
        "pairs": [_pair(pair, trials, question) for pair in spec.pairs],
        "variance_shift": _variance_shift(trials),
        "trials": [_row(of[seed], question) for seed in range(len(spec.seeds)) for of in trials.values()],
        "timing": _timing(trials, spec, question),
    }


def _arm(trials: list[TrialFiles], question: Question, spec: Specification) -> dict[str, Any]:
    outcomes = [trial.record["outcome"] for trial in trials]
    counted = [trial for trial in trials if trial.counts]
    return {
        "trials": len(trials),
        "finished": outcomes.count("finished"),
        "failed": outcomes.count("failed"),
        **_rate("diverged", outcomes.count("diverged"), len(trials)),
        **(_rate("collapsed", sum(trial.collapsed for trial in trials), len(trials)) if question.can_collapse else {}),
        "parameters": next((trial.record["parameters"] for trial in trials if trial.record["parameters"]), None),
        **{name: statistics.distribution(list(map(measure, trials))) for name, measure in question.measures.items()},
        "epochs_to": [
            {
                "threshold": level,
                **statistics.reaching([_first_at(trial, question.metric, level) for trial in counted], spec.epochs),
            }
            for level in question.thresholds
        ],
    }


def _rate(name: str, found: int, of: int) -> dict[str, Any]:
    return {name: found, f"{name}_rate_interval": statistics.wilson_interval(found, of)}


def _first_at(trial: TrialFiles, metric: str, threshold: float) -> float:
    reached = (row["epoch"] for row in trial.rows if row.get(metric) is not None and row[metric] >= threshold)
    return float(next(reached, math.inf))


def _pair(pair: Pair, trials: Trials, question: Question) -> dict[str, Any]:
    arm, baseline = trials[pair.arm], trials[pair.baseline]
    both = [(a, b) for a, b in zip(arm, baseline, strict=True) if a.counts and b.counts]
    return {
        "arm": pair.arm,
        "baseline": pair.baseline,
        **{
            name: statistics.paired(list(map(measure, arm)), list(map(measure, baseline)))
            for name, measure in question.measures.items()
        },
        "epochs_to": [_sooner(both, question.metric, level) for level in question.thresholds],
        "only_baseline_diverged": sum(b.diverged and not a.diverged for a, b in zip(arm, baseline, strict=True)),
        "only_arm_diverged": sum(a.diverged and not b.diverged for a, b in zip(arm, baseline, strict=True)),
        "equal_initial_weights": _equal_weights(both),
    }


def _sooner(both: list[tuple[TrialFiles, TrialFiles]], metric: str, level: float) -> dict[str, Any]:
    """In how many pairs the arm reached the threshold earlier than its baseline, in the same epoch, or later."""
    times = [(_first_at(a, metric, level), _first_at(b, metric, level)) for a, b in both]
    return {"threshold": level, **statistics.faster(times)}


def _equal_weights(both: list[tuple[TrialFiles, TrialFiles]]) -> dict[str, int]:
    """How many of the weights that the first pair of trials have in common, by name, began with the same values."""
    if not both:
        return {"equal": 0, "of": 0}
    ours, theirs = (trial.record["initial_weights"] for trial in both[0])
    common = ours.keys() & theirs.keys()
    return {"equal": sum(ours[path] == theirs[path] for path in common), "of": len(common)}


def _row(trial: TrialFiles, question: Question) -> dict[str, Any]:
    keep = ("arm", "seed", "outcome", "epochs", "error")
    return {
        **{key: trial.record[key] for key in keep},
        **({"collapsed": trial.record.get("collapsed")} if question.can_collapse else {}),
        **{name: measure(trial) for name, measure in question.measures.items()},
    }


def _variance_shift(trials: Trials) -> list[dict[str, Any]]:
    """Medians over seeds of what the probe of the same name found, for each arm and layer."""
    found = []
    for arm, of in trials.items():
        rows = [row for trial in of for row in trial.probes]
        for layer in dict.fromkeys(row["layer"] for row in rows):
            mine = [row for row in rows if row["layer"] == layer]
            ratios = {
                name: statistics.distribution([row[name] for row in mine])["median"]
                for name in ("inference_over_training", "inference_over_moving")
            }
            found.append(
                {"arm": arm, "layer": layer, "dropout_before": mine[0]["dropout_before"], "n": len(mine), **ratios}
            )
    return found


def _timing(trials: Trials, spec: Specification, question: Question) -> dict[str, Any]:
    steps = {name: [trial.step_seconds() for trial in of] for name, of in trials.items()}
    return {
        "step_seconds": {name: statistics.distribution(values) for name, values in steps.items()},
        "ratios": [_ratio(pair, steps) for pair in spec.pairs],
        "trial_seconds": {
            name: sum((trial.record["timing"] or {}).get("trial_seconds", 0.0) for trial in of)
            for name, of in trials.items()
        },
        **{
            share: {name: statistics.distribution(list(map(of_trial, of))) for name, of in trials.items()}
            for share, of_trial in question.shares_of_time.items()
        },
    }


def _ratio(pair: Pair, steps: dict[str, list[float | None]]) -> dict[str, Any]:
    """Step time of the arm over that of the baseline, seed by seed."""
    both = zip(steps[pair.arm], steps[pair.baseline], strict=True)
    ratios = [a / b for a, b in both if a and b]
    return {
        "arm": pair.arm,
        "baseline": pair.baseline,
        "median": median(ratios) if ratios else None,
        "min": min(ratios, default=None),
        "max": max(ratios, default=None),
    }
