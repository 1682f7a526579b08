"""Replicas as users have them: Keras' `fit` under a strategy or a distribution, process groups of torch."""

import json
import re

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def found(start):
    scripts = {
        "tensorflow": ("fit_on_tensorflow.py", 2),
        "jax": ("fit_on_jax.py", 2),
        "torch": ("groups_on_torch.py", 4),
    }
    printed = start(*scripts[BACKEND])
    return json.loads(
        next(line for line in printed.splitlines() if "FOUND{" in line or "FOUND[" in line).split("FOUND")[1]
    )


def close(one, other, atol=1e-5):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=atol)


if BACKEND == "tensorflow":

    @pytest.mark.parametrize("name", ["shared", "unsynchronized"])
    def test_fit_leaves_the_same_moving_statistics_on_every_replica_and_saves_them(found, name):
        for of_replicas in found[name]["each"]:
            assert all(one == of_replicas[0] for one in of_replicas)
        for weight in ("moving_mean", "moving_variance"):
            assert found[name]["saved"][weight] == found[name]["replicas"][weight]
            close(found[name]["replicas"][weight], found[name]["one device"][weight])

    def test_fit_trains_as_one_device_does_though_the_last_step_leaves_a_replica_without_rows(found):
        for weight, values in found["shared"]["one device"].items():
            close(found["shared"]["replicas"][weight], values)

    @pytest.mark.parametrize("way", ["a compiled function in the way", "a condition in the way"])
    def test_a_function_that_cannot_hold_the_exchange_is_named(found, way):
        assert "replicas cannot exchange statistics within a tf.function, tf.cond" in found[way]

    def test_local_statistics_reach_the_threads_of_the_strategy(found):
        first, second = np.asarray(found["alone"])
        close(second - first, np.ones(4))

    def test_those_of_another_thread_do_not(found):
        first, second = np.asarray(found["beside a probe"])
        close(first, second)
        close(first, np.asarray(found["alone"]).mean(0))


if BACKEND == "jax":

    @pytest.mark.parametrize("name", ["shared", "unsynchronized"])
    def test_under_data_parallel_statistics_are_global_either_way(found, name):
        for weight, values in found["one device"].items():
            close(found[name][weight], values)


if BACKEND == "torch":

    def test_the_default_group_is_found_by_itself(found):
        assert [one["everybody"] for one in found] == [16.5] * 4

    def test_a_step_takes_one_exchange_forward_and_one_backward(found):
        assert [one["exchanges"] for one in found] == [[1, 1]] * 4

    def test_a_group_of_the_users_shares_among_its_ranks(found):
        assert [one["pairs"] for one in found] == [6.5, 6.5, 26.5, 26.5]

    @pytest.mark.parametrize("way", ["checkpointed", "checkpointed, reentrant"])
    def test_a_checkpoint_repeats_the_layer_with_the_same_ranks(found, way):
        for rank in found:
            close(rank[way], rank["not checkpointed"])
            assert np.abs(rank["not checkpointed"]).max() > 0.01

    def test_one_rank_can_be_by_itself(found):
        assert found[0]["by itself"] == 1.5

    def test_a_rank_outside_of_the_group_is_told_so(found):
        assert found[0]["in no group"] == "nothing"
        for rank in (1, 2, 3):
            assert f"group must contain this process, which has rank {rank}" in found[rank]["in no group"]

    def test_what_is_no_group_is_refused(found):
        assert "group must be a process group of torch.distributed.new_group, received 'mine'" in found[0]["no group"]

    @pytest.mark.parametrize(
        ("difference", "told"),
        [
            ("channels", "rank 0 has 3 channels.*rank 1 has 2 channels"),
            ("dtype", "rank 0 has 1 channels, statistics in float32.*rank 1 has 1 channels, statistics in float64"),
            ("synchronized", "rank 0 has .*synchronized=True; rank 1 has .*synchronized=False"),
        ],
    )
    def test_every_rank_is_told_in_what_they_differ(found, difference, told):
        assert all(re.search(told, one[difference]) for one in found)

    def test_a_layer_can_go_from_group_to_group(found):
        assert [one["another group"] for one in found] == [17.5] * 4
