"""The summary of an adversarial study: distances of generated images, by one judge."""

import json

import pytest

from evenbatch import files
from evenbatch.study import store
from evenbatch.study.spec import AdversarialSpec
from evenbatch.study.summary import summarize

JUDGE = "ab" * 32
FLOOR = {"frechet": 1.0, "kernel": 0.0}
CEILING = {"frechet": 300.0, "kernel": 9.0}
YARDSTICK = {"judge": JUDGE, "accuracy": 0.98, "cross_accuracy": 0.97, "samples": 18}
WAYS = ("moving", "batch", "recalibrated")


def history(distances, losses=None):
    """Rows of an epoch each; an epoch without a distance was not measured."""
    rows = []
    for i, distance in enumerate(distances):
        row = {"epoch": i + 1, "d_loss": 1.3, "g_loss": losses[i] if losses else 0.7}
        for step, way in enumerate(WAYS):
            for kind, factor in (("frechet", 1), ("kernel", 0.1), ("cross_frechet", 2)):
                row[f"{kind}_{way}"] = None if distance is None else factor * (distance - step)
        looks = dict.fromkeys(("classes", "entropy", "confidence", "nearest", "diversity"), 1.0)
        rows.append({**row, **looks, "seconds": 3.0, "measure_seconds": 0.0 if distance is None else 2.0})
    return rows


def write_trial(folder, arm, seed, rows, outcome="finished", collapsed=None, judge=JUDGE):
    where = store.trial_folder(folder, arm, seed)
    if rows:
        files.write_csv(where / "history.csv", rows)
    record = {"arm": arm, "seed": seed, "outcome": outcome, "epochs": len(rows), "error": None, "parameters": 10}
    record |= {"test": None, "initial_weights": {"dense/kernel": "a"}, "collapsed": collapsed}
    yardstick = {**YARDSTICK, "judge": judge, "floor": FLOOR, "ceiling": CEILING}
    timing = {"step_seconds": 0.001, "train_seconds": 1.0, "trial_seconds": 2.0}
    failed = outcome == "failed"
    ran = {"yardstick": None if failed else yardstick, "timing": None if failed else timing}
    files.write_json(where / "trial.json", record | ran)


@pytest.fixture
def folder(plan_of, tmp_path):
    """Three seeds: `with` is nearer to real images throughout; `without` diverges under the last seed."""
    spec = plan_of(seeds=3, epochs=4).spec
    settings = {"beta_1": 0.5, "ema": None, "statistics": "moving", "measure_every": 2, "samples": 18, "resize": None}
    adversarial = AdversarialSpec(**settings, judge=JUDGE)
    store.claim(tmp_path, spec.model_copy(update={"adversarial": adversarial}), {}, force=False)
    for seed in range(3):
        write_trial(tmp_path, "with", seed, history([90.0, 9.0 + seed, None, 10.0 + seed], [0.7, 0.9, 0.8, 0.85]))
        write_trial(tmp_path, "without", seed, history([90.0, 40.0, None, 20.0]))
    write_trial(tmp_path, "without", 2, history([90.0, None])[:2], outcome="diverged")
    return tmp_path


def test_the_summary_says_what_was_asked_and_by_which_judge(folder):
    found = summarize(folder)
    assert (found["task"], found["metric"], found["thresholds"]) == ("adversarial", "frechet_moving", [])
    assert found["judge"] == {"sha256": JUDGE, "accuracy": 0.98, "cross_accuracy": 0.97, "samples": 18}
    assert (found["floor"], found["ceiling"], found["other_judges"]) == (FLOOR, CEILING, [])


def test_a_final_distance_is_that_of_the_last_epoch_and_the_best_is_the_least(folder):
    arm = summarize(folder)["arms"]["with"]
    assert arm["final_frechet"]["mean"] == pytest.approx(11.0)
    assert arm["best_frechet"]["mean"] == pytest.approx(10.0)
    assert [arm[f"final_frechet_{way}"]["mean"] for way in WAYS] == pytest.approx([11.0, 10.0, 9.0])
    assert arm["final_kernel"]["mean"] == pytest.approx(1.1)
    assert arm["final_cross_frechet"]["mean"] == pytest.approx(22.0)


def test_a_diverged_trial_has_a_best_distance_and_no_final_one(folder):
    arm = summarize(folder)["arms"]["without"]
    assert (arm["final_frechet"]["n"], arm["best_frechet"]["n"], arm["diverged"]) == (2, 3, 1)


def test_a_pair_is_compared_over_the_seeds_that_have_both(folder):
    pair = summarize(folder)["pairs"][0]
    assert pair["final_frechet"]["differences"] == [pytest.approx(-10.0), pytest.approx(-9.0), None]
    assert (pair["final_frechet"]["below"], pair["only_baseline_diverged"]) == (2, 1)


def test_images_that_are_no_numbers_at_the_end_have_no_final_distance(folder):
    write_trial(folder, "with", 1, history([90.0, 9.0, None, None]))
    arm = summarize(folder)["arms"]["with"]
    assert (arm["finished"], arm["final_frechet"]["n"], arm["best_frechet"]["n"]) == (3, 2, 3)


def test_a_collapsed_trial_is_counted_with_its_interval_and_keeps_its_distance(folder):
    write_trial(folder, "with", 0, history([90.0, 80.0, None, 150.0]), collapsed=4)
    found = summarize(folder)
    arm = found["arms"]["with"]
    assert (arm["collapsed"], arm["final_frechet"]["max"]) == (1, 150.0)
    low, high = arm["collapsed_rate_interval"]
    assert low < 1 / 3 < high
    assert [row["collapsed"] for row in found["trials"]] == [4, None, None, None, None, None]


def test_only_the_rises_of_the_generators_loss_add_up(folder):
    assert summarize(folder)["arms"]["with"]["rises"]["median"] == pytest.approx(0.2 + 0.05)


def test_other_judges_are_named_and_the_ends_are_those_of_the_studys(folder):
    write_trial(folder, "with", 0, history([90.0, 80.0, None, 150.0]), judge="cd" * 32)
    found = summarize(folder)
    assert found["other_judges"] == ["cd" * 32]
    assert found["floor"] == FLOOR


def test_what_measuring_takes_is_a_share_of_all_seconds(folder):
    assert summarize(folder)["timing"]["measuring_share"]["with"]["median"] == pytest.approx(6.0 / 18.0)


def test_a_study_whose_trials_all_failed_has_no_ends(folder):
    for arm in ("with", "without"):
        for seed in range(3):
            (store.trial_folder(folder, arm, seed) / "history.csv").unlink(missing_ok=True)
            write_trial(folder, arm, seed, [], outcome="failed")
    found = summarize(folder)
    assert (found["floor"], found["ceiling"], found["judge"]["accuracy"]) == (None, None, None)
    assert found["timing"]["measuring_share"]["with"]["n"] == 0


def test_the_summary_is_strict_json(folder):
    assert json.loads(files.dump_json(summarize(folder)))["format"] == 1
