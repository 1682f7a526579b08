import json

import pytest

from evenbatch import files
from evenbatch.study import store
from evenbatch.study.summary import summarize

EPOCHS = 4


def write_trial(folder, arm, seed, accuracies, losses=None, outcome="finished", weights=None, step=0.001):
    losses = losses or [1.0 / (i + 1) for i in range(len(accuracies))]
    where = store.trial_folder(folder, arm, seed)
    rows = [
        {"epoch": i + 1, "accuracy": a, "loss": x, "val_accuracy": a, "val_loss": x, "seconds": 0.1}
        for i, (a, x) in enumerate(zip(accuracies, losses, strict=True))
    ]
    (where / "history.csv").unlink(missing_ok=True)
    if rows:
        files.write_csv(where / "history.csv", rows)
    record = {
        "arm": arm,
        "seed": seed,
        "outcome": outcome,
        "epochs": len(rows),
        "error": "it broke" if outcome == "failed" else None,
        "parameters": 10,
        "test": {"accuracy": accuracies[-1] - 0.01, "loss": 1.0} if outcome == "finished" else None,
        "initial_weights": weights or {"dense/kernel": "a", "dense/bias": "b"},
        "timing": None if outcome == "failed" else {"step_seconds": step, "train_seconds": 1.0, "trial_seconds": 2.0},
    }
    files.write_json(where / "trial.json", record)


@pytest.fixture
def study(plan_of, tmp_path):
    """Three seeds: `with` is better throughout; `without` diverges under the last seed."""
    plan = plan_of(seeds=3, epochs=EPOCHS)
    store.claim(tmp_path, plan.spec, {}, force=False)
    for seed in range(3):
        write_trial(
            tmp_path, "with", seed, [0.4, 0.7, 0.9, 0.92 + 0.01 * seed], step=0.002, weights={"dense/kernel": "a"}
        )
    write_trial(tmp_path, "without", 0, [0.3, 0.4, 0.5, 0.6], losses=[2.0, 1.0, 1.5, 1.0])
    write_trial(tmp_path, "without", 1, [0.3, 0.4, 0.5, 0.65])
    write_trial(tmp_path, "without", 2, [0.5, None], losses=[2.0, float("nan")], outcome="diverged")
    return tmp_path


def test_final_and_best_results_are_per_arm(study):
    arms = summarize(study)["arms"]
    assert arms["with"]["final_accuracy"]["mean"] == pytest.approx(0.93)
    assert (arms["with"]["final_accuracy"]["min"], arms["with"]["final_accuracy"]["max"]) == pytest.approx((0.92, 0.94))
    assert arms["with"]["test_accuracy"]["median"] == pytest.approx(0.92)
    assert arms["without"]["best_accuracy"]["n"] == 3


def test_a_diverged_trial_is_counted_and_has_no_final_result(study):
    arm = summarize(study)["arms"]["without"]
    assert (arm["diverged"], arm["finished"], arm["trials"]) == (1, 2, 3)
    assert arm["final_accuracy"]["n"] == 2
    low, high = arm["diverged_rate_interval"]
    assert low < 1 / 3 < high


def test_differences_are_paired_by_seed_and_leave_a_diverged_pair_out(study):
    pair = summarize(study)["pairs"][0]
    assert pair["final_accuracy"]["differences"] == [pytest.approx(0.32), pytest.approx(0.28), None]
    assert (pair["final_accuracy"]["n"], pair["final_accuracy"]["above"]) == (2, 2)
    assert (pair["only_baseline_diverged"], pair["only_arm_diverged"]) == (1, 0)


def test_thresholds_lie_between_chance_and_the_best_arm(study):
    summary = summarize(study)
    assert summary["chance"] == pytest.approx(7 / 18)  # 7 of the 18 validation examples are of one class
    assert summary["thresholds"] == [0.65, 0.82, 0.9]  # 50, 80 and 95 % of the way from 7/18 to 0.93


def test_an_epoch_that_was_not_reached_is_censored(study):
    summary = summarize(study)
    low, _, high = summary["arms"]["without"]["epochs_to"]
    assert (low["reached"], low["n"], low["median"], low["times"]) == (1, 3, None, [None, 4.0, None])
    assert (high["reached"], high["restricted_mean"]) == (0, EPOCHS)
    assert summary["arms"]["with"]["epochs_to"][0]["median"] == 2.0
    assert summary["pairs"][0]["epochs_to"][2] == {"threshold": 0.9, "earlier": 3, "equal": 0, "later": 0}


def test_oscillation_and_its_rising_part_are_told_apart(study):
    without = summarize(study)["trials"][1]
    assert (without["arm"], without["oscillation"], without["rises"]) == ("without", 2.0, 0.5)


def test_equal_initial_weights_are_counted_among_those_of_both(study):
    assert summarize(study)["pairs"][0]["equal_initial_weights"] == {"equal": 1, "of": 1}


def test_the_ratio_of_step_times_is_paired(study):
    ratio = summarize(study)["timing"]["ratios"][0]
    assert (ratio["median"], ratio["min"], ratio["max"]) == pytest.approx((2.0, 2.0, 2.0))


def test_a_failed_trial_stays_in_the_table(study):
    write_trial(study, "with", 1, [], outcome="failed")
    summary = summarize(study)
    row = next(row for row in summary["trials"] if (row["arm"], row["seed"]) == ("with", 1))
    assert (row["outcome"], row["error"], row["final_accuracy"]) == ("failed", "it broke", None)
    assert summary["arms"]["with"]["failed"] == 1


def test_a_failed_trial_is_no_evidence_against_its_arm(study):
    write_trial(study, "with", 1, [], outcome="failed")
    summary = summarize(study)
    low = summary["arms"]["with"]["epochs_to"][0]
    assert (low["n"], low["reached"]) == (2, 2)
    assert summary["pairs"][0]["epochs_to"][0] == {"threshold": 0.65, "earlier": 2, "equal": 0, "later": 0}


def test_the_means_of_a_pair_are_over_its_pairs_alone(study):
    found = summarize(study)["pairs"][0]["final_accuracy"]
    assert (found["arm_mean"], found["baseline_mean"]) == pytest.approx((0.925, 0.625))
    assert found["mean"] == pytest.approx(found["arm_mean"] - found["baseline_mean"])


def test_what_dropout_does_to_the_variance_is_the_median_over_seeds(study):
    for seed, ratio in enumerate((0.5, 0.6, 0.9)):
        row = {
            "layer": "norm_2",
            "dropout_before": 0.5,
            "inference_over_training": ratio,
            "inference_over_moving": ratio,
        }
        files.write_csv(store.trial_folder(study, "with", seed) / "probes.csv", [row])
    found = summarize(study)["variance_shift"]
    assert found == [
        {
            "arm": "with",
            "layer": "norm_2",
            "dropout_before": 0.5,
            "n": 3,
            "inference_over_training": 0.6,
            "inference_over_moving": 0.6,
        }
    ]


def test_the_summary_is_strict_json(study):
    assert json.loads(files.dump_json(summarize(study)))["format"] == 1
