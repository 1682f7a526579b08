import numpy as np
import pytest
from scipy import stats

from evenbatch.report.by_epoch import Point, paired_difference, quartiles, series
from evenbatch.report.reading import Trial

RUNS = [{1: 0.1, 2: 0.5}, {1: 0.3, 2: 0.4}, {1: 0.2, 2: 0.9}, {1: 0.7, 2: 0.8}, {1: 0.4, 2: 0.6}]


def test_the_band_is_numpys_interquartile_range():
    found = quartiles(RUNS)[0]
    assert (found.low, found.center, found.high) == pytest.approx(
        tuple(np.percentile([run[1] for run in RUNS], [25, 50, 75]))
    )


def test_three_seeds_have_a_median_and_no_quartiles():
    assert quartiles(RUNS[:3])[0] == Point(epoch=1, n=3, center=0.2, low=None, high=None)


def test_a_seed_that_stopped_leaves_the_later_epochs_to_the_others():
    assert [(p.epoch, p.n, p.center) for p in quartiles([{1: 0.1}, {1: 0.3, 2: 0.5}])] == [
        (1, 2, 0.2),
        (2, 1, 0.5),
    ]


def test_the_paired_interval_is_scipys():
    baseline = [{1: 0.05}, {1: 0.1}, {1: 0.15}, {1: 0.1}, {1: 0.3}]
    differences = [ours[1] - theirs[1] for ours, theirs in zip(RUNS, baseline, strict=True)]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    found = paired_difference(RUNS, baseline)[0]
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.center == pytest.approx(np.mean(differences))


def test_an_epoch_that_one_side_of_a_seed_lacks_does_not_count_for_that_seed():
    found = paired_difference([{1: 0.5, 2: 0.6}, {1: 0.4}], [{1: 0.1, 2: 0.1}, {1: 0.1, 2: 0.1}])
    assert [(p.epoch, p.n) for p in found] == [(1, 2), (2, 1)]


def test_one_pair_has_a_difference_and_no_interval():
    assert paired_difference([{3: 0.5}], [{3: 0.25}]) == [Point(3, 1, 0.25, None, None)]


def test_sides_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired_difference(RUNS, RUNS[:2])


def test_a_band_is_scaled_at_both_ends_and_missing_stays_missing():
    assert Point(1, 2, 0.1, -0.2, 0.3).band(100) == pytest.approx({"low": -20, "high": 30})
    assert Point(1, 1, 0.1, None, None).band(100) == {"low": None, "high": None}


def test_a_series_leaves_out_what_is_missing():
    rows = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": None}]
    assert series(Trial("a", 0, {}, rows), "loss") == {1: 2.0}
