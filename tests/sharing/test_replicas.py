"""The promise: however a global batch is split over replicas, they do what one device does with the whole of it."""

import cases
import keras
import numpy as np
import pytest

from evenbatch.kernels import reference

BACKEND = keras.backend.backend()
ALL = [(replicas, case) for replicas in (2, 4) for case in cases.of(BACKEND, replicas)]


def each(chosen):
    return pytest.mark.parametrize(("replicas", "case"), chosen, ids=[f"{r}-{case.name}" for r, case in chosen])


every_case = each(ALL)
shared_cases = each([(replicas, case) for replicas, case in ALL if not case.is_local])
plain_cases = each([(r, c) for r, c in ALL if c.kind == "BatchNormalization" and "renorm" not in c.arguments])

# Of the standard deviation; the statistics are float32 where the inputs are less.
EXACT = {"float32": 2e-5, "float64": 1e-11, "float16": 2e-3, "bfloat16": 2e-2}
# The gradients sum values that are some times larger than their sum.
GRADIENTS = {"float32": 2e-4, "float64": 1e-10, "float16": 1e-2, "bfloat16": 1e-1}

pytestmark = pytest.mark.slow


def on_replicas(results, case, key):
    """An array of the global batch, put together from what the replicas have."""
    parts = [results[f"{case.name}/many/{i}/{key}"] for i in range(len(case.split))]
    assert [len(part) for part in parts] == list(case.split)
    return np.concatenate(parts)


def on_one(results, case, key):
    return results[f"{case.name}/one/0/{key}"]


def keys(results, case, of):
    there = (name.rsplit("/", 1) for name in results.files)
    return [key for place, key in there if place == f"{case.name}/one/0" and key.startswith(of)]


def tolerance(case, table):
    # At a mean of 1e4 deviations float32 rounds the inputs themselves to 1e-3.
    return table[case.dtype] + (2e-3 if case.mean and case.dtype != "float64" else 0)


@shared_cases
def test_outputs_and_input_gradients_are_those_of_one_device(results, replicas, case):
    for key, table in (("y", EXACT), ("dx", GRADIENTS), ("ddx", GRADIENTS)):
        if key == "ddx" and not case.penalty:
            continue
        one, many = on_one(results(replicas), case, key), on_replicas(results(replicas), case, key)
        scale = max(np.abs(one).max(), 1)
        np.testing.assert_allclose(many, one, rtol=0, atol=scale * tolerance(case, table))


@shared_cases
def test_gradients_of_weights_add_up_to_those_of_one_device(results, replicas, case):
    for key in keys(results(replicas), case, "d"):
        if key in ("dgamma", "dbeta"):
            parts = [results(replicas)[f"{case.name}/many/{i}/{key}"] for i in range(len(case.split))]
            one = on_one(results(replicas), case, key)
            scale = max(np.abs(one).max(), 1)
            np.testing.assert_allclose(sum(parts), one, rtol=0, atol=scale * tolerance(case, GRADIENTS))


@every_case
def test_every_replica_holds_the_moving_statistics_of_the_global_batch(results, replicas, case):
    names = keys(results(replicas), case, ("moving", "renorm"))
    assert {"moving_mean", "moving_variance"} <= set(names)
    for name in names:
        first, *others = (results(replicas)[f"{case.name}/many/{i}/{name}"] for i in range(len(case.split)))
        for other in others:
            np.testing.assert_array_equal(other, first)
        one = on_one(results(replicas), case, name)
        np.testing.assert_allclose(first, one, rtol=2e-5, atol=2e-5 + (2e-3 if case.mean and "mean" not in name else 0))


@plain_cases
def test_replicas_agree_with_the_oracle(results, replicas, case):
    batch, found = cases.batch(case), results(replicas)
    scale = case.arguments.get("scale", True)
    gamma, beta = (batch.gamma, batch.beta) if scale else (np.ones(cases.CHANNELS), np.zeros(cases.CHANNELS))
    mask = (
        np.ones(batch.x[..., 0].shape if case.axis == -1 else (cases.ROWS, 5), bool)
        if batch.mask is None
        else batch.mask
    )
    whole = reference.masked_moments(batch.x, mask, case.axis)
    used = [whole] * len(case.split)
    if case.is_local:
        used = [reference.masked_moments(batch.x[cut], mask[cut], case.axis) for cut in case.cuts()]
    parts = [
        reference.normalize(batch.x[cut], one.mean, one.variance, gamma, beta, case.axis, 1e-3)
        for cut, one in zip(case.cuts(), used, strict=True)
    ]
    expected = np.concatenate(parts)
    y = on_replicas(found, case, "y")
    np.testing.assert_allclose(y, expected, rtol=0, atol=np.abs(expected).max() * tolerance(case, EXACT))
    if batch.mask is None and not case.is_local:
        dx, dgamma, dbeta = reference.gradients(batch.dy, batch.x, gamma, case.axis, 1e-3)
        of_inputs = on_replicas(found, case, "dx")
        np.testing.assert_allclose(of_inputs, dx, rtol=0, atol=np.abs(dx).max() * tolerance(case, GRADIENTS))
        for key, gradient in {"dgamma": dgamma, "dbeta": dbeta}.items() if scale else ():
            total = sum(found[f"{case.name}/many/{i}/{key}"] for i in range(len(case.split)))
            np.testing.assert_allclose(
                total, gradient, rtol=0, atol=np.abs(gradient).max() * tolerance(case, GRADIENTS)
            )
    moving = found[f"{case.name}/many/0/moving_mean"], found[f"{case.name}/many/0/moving_variance"]
    share = 1.0 if case.arguments.get("debias") else 0.5
    if whole.count:
        np.testing.assert_allclose(moving[0], whole.mean * share, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(
            moving[1], 1 - share + whole.variance * share, rtol=1e-4 + (1e-3 if case.mean else 0)
        )
    else:
        np.testing.assert_array_equal(moving, [np.zeros(cases.CHANNELS), np.ones(cases.CHANNELS)])
