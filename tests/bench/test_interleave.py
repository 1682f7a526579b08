import gc
import random

import pytest

from evenbatch.bench.interleave import interleave
from evenbatch.bench.spread import ratio, spread


class Bench:
    """A clock that only the arms move, and a record of what ran."""

    def __init__(self):
        self.now = 0.0
        self.calls = []
        self.waited = []
        self.collecting = []

    def arm(self, name, seconds):
        def call():
            self.now += seconds
            self.calls.append(name)
            self.collecting.append(gc.isenabled())
            return name

        return call

    def measure(self, arms, **options):
        calls = {name: self.arm(name, seconds) for name, seconds in arms.items()}
        return interleave(calls, self.waited.append, clock=lambda: self.now, **options)


def test_each_arm_is_measured_once_a_round():
    samples = Bench().measure({"slow": 2.0, "fast": 1.0}, rounds=5)
    assert samples == {"slow": [2.0] * 5, "fast": [1.0] * 5}


def test_a_round_holds_every_arm_before_the_next_begins():
    bench = Bench()
    bench.measure({"a": 1.0, "b": 1.0, "c": 1.0}, rounds=20)
    timed = bench.calls[-60:]
    assert {"".join(sorted(timed[at : at + 3])) for at in range(0, 60, 3)} == {"abc"}


def test_the_order_changes_from_round_to_round():
    bench = Bench()
    bench.measure({"a": 1.0, "b": 1.0}, rounds=20)
    timed = bench.calls[-40:]
    assert {"".join(timed[at : at + 2]) for at in range(0, 40, 2)} == {"ab", "ba"}


def test_a_fast_arm_is_called_until_the_measurement_lasts_long_enough():
    bench = Bench()
    samples = bench.measure({"fast": 0.001}, rounds=1, at_least=0.02)
    assert samples["fast"] == [pytest.approx(0.001)]
    begin = bench.now
    bench.measure({"slow": 1.0}, rounds=1, at_least=0.02)
    assert bench.calls.count("fast") >= 20 + 3
    assert bench.now - begin == 3 + 1 + 1  # warm, once to learn how long it takes, once measured


def test_an_arm_that_takes_no_time_at_first_does_not_run_forever():
    seconds = iter([0.0] * 4)
    bench = Bench()

    def call():
        bench.now += next(seconds, 0.01)

    samples = interleave({"odd": call}, bench.waited.append, rounds=2, clock=lambda: bench.now)
    assert len(samples["odd"]) == 2


def test_an_arm_is_warm_before_it_is_timed():
    bench = Bench()
    seconds = iter([9.0, 9.0, 9.0])

    def call():
        bench.now += next(seconds, 1.0)

    assert interleave({"jit": call}, bench.waited.append, rounds=2, clock=lambda: bench.now) == {"jit": [1.0, 1.0]}


def test_waiting_for_the_result_is_part_of_the_time():
    bench = Bench()

    def wait(result):
        bench.now += 4.0

    assert interleave({"async": lambda: None}, wait, rounds=1, clock=lambda: bench.now) == {"async": [4.0]}


def test_what_is_waited_for_is_the_result_of_the_call():
    bench = Bench()
    bench.measure({"a": 1.0}, rounds=1)
    assert set(bench.waited) == {"a"}


def test_no_round_begins_after_the_budget():
    samples = Bench().measure({"a": 1.0, "b": 1.0}, rounds=100, budget=9.0)
    assert [len(values) for values in samples.values()] == [5, 5]


def test_there_are_three_rounds_whatever_the_budget():
    assert len(Bench().measure({"a": 1.0}, rounds=100, budget=0.0)["a"]) == 3


def test_garbage_is_collected_before_and_not_during_the_rounds():
    bench = Bench()
    bench.measure({"a": 1.0}, rounds=4)
    assert bench.collecting[-4:] == [False] * 4
    assert gc.isenabled()


def test_the_users_own_random_numbers_are_left_alone():
    random.seed(1)
    before = random.getstate()
    Bench().measure({"a": 1.0, "b": 1.0}, rounds=4)
    assert random.getstate() == before


def test_a_spread_is_the_median_and_the_quartiles():
    assert spread([1, 2, 3, 4, 100]) == {"median": 3, "low": 2, "high": 4}


def test_the_spread_of_one_value_is_that_value():
    assert spread([7]) == {"median": 7, "low": 7, "high": 7}


def test_a_drift_of_the_machine_leaves_a_ratio_as_it_is():
    assert ratio([2.0, 20.0, 6.0], [1.0, 10.0, 3.0]) == {"median": 2.0, "low": 2.0, "high": 2.0}
