"""From a study's directory to every number that its report prints.

Accuracies are shares in [0, 1]. A trial that diverged has no final result; its best epoch before that counts, and in
the comparison of times it has reached no threshold that it had not reached before. A trial that failed says nothing of
its arm and is left out of both. Chance is what answering the most frequent class of the validation data would give.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from evenbatch.study import statistics, store
from evenbatch.study.spec import Pair, Specification

METRIC = "val_accuracy"
LEVELS = (0.5, 0.8, 0.95)  # of the way from chance to the best arm's median


class _Trial:
    """One trial's record and history, and what is read off them."""

    def __init__(self, folder: Path, arm: str, seed: int) -> None:
        self.record = store.read_trial(folder, arm, seed)
        self.rows = store.read_history(folder, arm, seed)
        self.probes = store.read_probes(folder, arm, seed)

    def column(self, name: str) -> list[float | None]:
        return [row.get(name) for row in self.rows]

    @property
    def finished(self) -> bool:
        return bool(self.record["outcome"] == "finished")

    def final(self, name: str) -> float | None:
        return self.column(name)[-1] if self.finished else None

    def best(self) -> float | None:
        return max((value for value in self.column(METRIC) if value is not None), default=None)

    def test(self, name: str) -> float | None:
        return (self.record["test"] or {}).get(name) if self.finished else None

    def over_training(self, measure: Callable[[Sequence[float | None]], float | None]) -> float | None:
        return measure(self.column("loss")) if self.finished else None

    @property
    def counts(self) -> bool:
        """Whether it says anything of its arm: a trial that failed says nothing, one that diverged does."""
        return bool(self.record["outcome"] != "failed")

    def first_at(self, threshold: float) -> float:
        reached = (row["epoch"] for row in self.rows if row.get(METRIC) is not None and row[METRIC] >= threshold)
        return float(next(reached, math.inf))

    def step_seconds(self) -> float | None:
        timing = self.record["timing"] or {}
        return timing.get("step_seconds")


MEASURES: dict[str, Callable[[_Trial], float | None]] = {
    "final_accuracy": lambda trial: trial.final(METRIC),
    "best_accuracy": _Trial.best,
    "test_accuracy": lambda trial: trial.test("accuracy"),
    "final_loss": lambda trial: trial.final("loss"),
    "final_val_loss": lambda trial: trial.final("val_loss"),
    "oscillation": lambda trial: trial.over_training(statistics.total_variation),
    "rises": lambda trial: trial.over_training(statistics.rises),
}


def summarize(folder: Path) -> dict[str, Any]:
    """The summary of a study whose trials are all complete.

    Returns:
        A JSON value: `arms` and `pairs` with a distribution or a paired comparison for each of `MEASURES`,
        `thresholds`, `variance_shift` where it was probed, `trials`, and `timing`, which alone differs from run to run.

    Raises:
        StorageError: a file of the study is missing or damaged.
    """
    spec = store.read_specification(folder)
    trials = {arm.name: [_Trial(folder, arm.name, seed) for seed in spec.seeds] for arm in spec.arms}
    thresholds = _thresholds(trials, spec)
    return {
        "format": store.FORMAT,
        "metric": METRIC,
        "chance": spec.data.majority,
        "thresholds": thresholds,
        "arms": {name: _arm(of, thresholds, spec) for name, of in trials.items()},
        "pairs": [_pair(pair, trials, thresholds) for pair in spec.pairs],
        "variance_shift": _variance_shift(trials),
        "trials": [_row(trial) for seed in range(len(spec.seeds)) for trial in (of[seed] for of in trials.values())],
        "timing": _timing(trials, spec),
    }


def _thresholds(trials: dict[str, list[_Trial]], spec: Specification) -> list[float]:
    """Levels between chance and the best median of any arm, in whole percent."""
    medians = [statistics.distribution([trial.best() for trial in of])["median"] for of in trials.values()]
    chance = spec.data.majority
    best = max((value for value in medians if value is not None), default=chance)
    levels = {math.floor(100 * (chance + level * (best - chance))) / 100 for level in LEVELS}
    return sorted(level for level in levels if level > chance)


def _arm(trials: list[_Trial], thresholds: list[float], spec: Specification) -> dict[str, Any]:
    outcomes = [trial.record["outcome"] for trial in trials]
    counted = [trial for trial in trials if trial.counts]
    return {
        "trials": len(trials),
        "finished": outcomes.count("finished"),
        "failed": outcomes.count("failed"),
        "diverged": outcomes.count("diverged"),
        "diverged_rate_interval": statistics.wilson_interval(outcomes.count("diverged"), len(trials)),
        "parameters": next((trial.record["parameters"] for trial in trials if trial.record["parameters"]), None),
        **{name: statistics.distribution([measure(trial) for trial in trials]) for name, measure in MEASURES.items()},
        "epochs_to": [
            {
                "threshold": level,
                **statistics.reaching([trial.first_at(level) for trial in counted], spec.epochs),
            }
            for level in thresholds
        ],
    }


def _pair(pair: Pair, trials: dict[str, list[_Trial]], thresholds: list[float]) -> dict[str, Any]:
    arm, baseline = trials[pair.arm], trials[pair.baseline]
    both = [(a, b) for a, b in zip(arm, baseline, strict=True) if a.counts and b.counts]
    return {
        "arm": pair.arm,
        "baseline": pair.baseline,
        **{
            name: statistics.paired([measure(trial) for trial in arm], [measure(trial) for trial in baseline])
            for name, measure in MEASURES.items()
        },
        "epochs_to": [
            {"threshold": level, **statistics.faster([(a.first_at(level), b.first_at(level)) for a, b in both])}
            for level in thresholds
        ],
        "only_baseline_diverged": sum(_diverged(b) and not _diverged(a) for a, b in zip(arm, baseline, strict=True)),
        "only_arm_diverged": sum(_diverged(a) and not _diverged(b) for a, b in zip(arm, baseline, strict=True)),
        "equal_initial_weights": _equal_weights(both),
    }


def _diverged(trial: _Trial) -> bool:
    return bool(trial.record["outcome"] == "diverged")


def _equal_weights(both: list[tuple[_Trial, _Trial]]) -> dict[str, int]:
    """How many of the weights that the first pair of trials have in common, by name, began with the same values."""
    if not both:
        return {"equal": 0, "of": 0}
    ours, theirs = (trial.record["initial_weights"] for trial in both[0])
    common = ours.keys() & theirs.keys()
    return {"equal": sum(ours[path] == theirs[path] for path in common), "of": len(common)}


def _row(trial: _Trial) -> dict[str, Any]:
    keep = ("arm", "seed", "outcome", "epochs", "error")
    return {**{key: trial.record[key] for key in keep}, **{name: measure(trial) for name, measure in MEASURES.items()}}


def _variance_shift(trials: dict[str, list[_Trial]]) -> list[dict[str, Any]]:
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


def _timing(trials: dict[str, list[_Trial]], spec: Specification) -> dict[str, Any]:
    steps = {name: [trial.step_seconds() for trial in of] for name, of in trials.items()}
    return {
        "step_seconds": {name: statistics.distribution(values) for name, values in steps.items()},
        "ratios": [_ratio(pair, steps) for pair in spec.pairs],
        "trial_seconds": {
            name: sum((trial.record["timing"] or {}).get("trial_seconds", 0.0) for trial in of)
            for name, of in trials.items()
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
