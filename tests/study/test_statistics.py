import itertools
import math

import numpy as np
import pytest

from evenbatch.study import statistics


def test_the_t_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = statistics.t_interval(list(rng.normal(1.0, 2.0, 6)))
        hits += low <= 1.0 <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_the_t_interval_equals_the_table():
    low, high = statistics.t_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    half = 2.570582 * math.sqrt(3.5 / 6)  # t(0.975, 5) from the table
    assert (low, high) == pytest.approx((3.5 - half, 3.5 + half), rel=1e-6)


def test_the_bca_interval_contains_the_mean_and_is_the_same_each_time():
    values = [0.1, 0.5, 0.2, 0.9, 0.3, 0.4]
    low, high = statistics.bca_interval(values)
    assert low < np.mean(values) < high
    assert statistics.bca_interval(values) == (low, high)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 1.0], [2.0, 2.0, 2.0]])
def test_too_few_or_equal_values_have_no_bca_interval(values):
    assert statistics.bca_interval(values) is None


def by_hand(differences):
    """Every sign pattern, counted one by one."""
    observed = abs(sum(differences))
    patterns = list(itertools.product([1, -1], repeat=len(differences)))
    hits = sum(
        abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed - 1e-9 for signs in patterns
    )
    return hits / len(patterns)


@pytest.mark.parametrize(
    "differences", [[1.0], [1.0, 2.0], [0.3, -0.1, 0.2], [1, 1, 1, 1, 1, 1], [0.0, 0.0], [5, -4, 3, -2, 1]]
)
def test_the_sign_flip_test_counts_every_pattern(differences):
    assert statistics.sign_flip_p(differences) == pytest.approx(by_hand(differences))


@pytest.mark.parametrize(("n", "least"), [(5, 0.0625), (6, 0.03125)])
def test_five_seeds_cannot_reach_five_percent_and_six_can(n, least):
    assert statistics.sign_flip_p([1.0] * n) == least
    assert statistics.paired([1.0] * n, [0.0] * n)["smallest_p"] == least


def test_many_seeds_are_tested_by_random_patterns():
    differences = list(np.random.default_rng(1).normal(0.0, 1.0, 30))
    p = statistics.sign_flip_p(differences)
    t = abs(np.mean(differences)) / (np.std(differences, ddof=1) / math.sqrt(30))
    assert p == pytest.approx(math.erfc(t / math.sqrt(2)), abs=0.03)


@pytest.mark.parametrize(
    ("count", "n", "expected"), [(0, 6, (0.0, 0.3903)), (6, 6, (0.6097, 1.0)), (3, 6, (0.1876, 0.8124))]
)
def test_the_wilson_interval_equals_its_formula(count, n, expected):
    assert statistics.wilson_interval(count, n) == pytest.approx(expected, abs=1e-4)
    assert statistics.wilson_interval(0, 0) is None


def test_a_pair_with_a_missing_result_is_left_out_and_counted():
    found = statistics.paired([0.9, None, 0.8, 0.5], [0.1, 0.2, None, 0.5])
    assert found["differences"] == [pytest.approx(0.8), None, None, 0.0]
    assert (found["n"], found["above"], found["equal"], found["below"]) == (2, 1, 1, 0)


def test_times_that_were_not_reached_stay_in_the_median():
    found = statistics.reaching([3.0, math.inf, 5.0, math.inf, 4.0], budget=10)
    assert (found["reached"], found["n"], found["median"]) == (3, 5, 5.0)
    assert found["restricted_mean"] == pytest.approx((3 + 5 + 4 + 10 + 10) / 5)
    assert statistics.reaching([math.inf, math.inf, 2.0], budget=10)["median"] is None


def test_two_that_did_not_arrive_are_equal():
    assert statistics.faster([(1.0, 2.0), (math.inf, math.inf), (3.0, 3.0)]) == {"earlier": 1, "equal": 2, "later": 0}


def test_a_loss_that_only_falls_has_variation_but_no_rises():
    assert statistics.total_variation([3.0, 2.0, 0.5]) == 2.5
    assert statistics.rises([3.0, 2.0, 0.5]) == 0
    assert statistics.rises([1.0, 1.5, 1.0, 1.25]) == 0.75
    assert statistics.total_variation([1.0]) is None
    assert statistics.rises([1.0, None, 2.0]) is None


def test_a_distribution_leaves_out_what_is_missing():
    found = statistics.distribution([1.0, None, 3.0, float("nan")])
    assert (found["n"], found["mean"], found["min"], found["max"]) == (2, 2.0, 1.0, 3.0)
    assert statistics.distribution([None])["mean"] is None
