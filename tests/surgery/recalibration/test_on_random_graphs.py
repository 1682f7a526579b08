"""`eb.recalibrate` on graphs that nobody thought of: branches, shared layers, models within models, wrappers."""

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import models
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_random_graphs import graphs

import evenbatch as eb
from evenbatch.errors import UnsupportedModel
from evenbatch.surgery.recalibration import replay

FEW = settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@FEW
@given(graphs(), st.integers(0, 2**16), st.sampled_from([0, 600, 2**30]))
def test_every_layer_has_the_statistics_of_its_inputs_in_inference(model: Any, seed: int, memory: int) -> None:
    models.filled(model, seed)
    x = models.inputs_of(model, 13)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replay, "MEMORY", memory)
        try:
            new, report = eb.recalibrate(model, x, batch_size=4, frozen=True, verbose=False, return_report=True)
        except UnsupportedModel:
            assert not oracle.norms(model)
            return
    circular = {one.path for one in report.layers if "its own outputs" in one.reason}
    expected = oracle.met(new, x)
    for path, layer in oracle.norms(new).items():
        if path in expected and path not in circular:
            oracle.assert_equal_statistics(oracle.kept(layer), expected[path], 1e-4)


@FEW
@given(graphs(), st.integers(0, 2**16))
def test_the_statistics_do_not_depend_on_how_the_data_are_divided(model: Any, seed: int) -> None:
    models.filled(model, seed)
    if not oracle.norms(model):
        return
    x = models.inputs_of(model, 13)
    one, other = (eb.recalibrate(model, x, batch_size=n, frozen=True, verbose=False) for n in (1, 13))
    for path, layer in oracle.norms(one).items():
        oracle.assert_equal_statistics(oracle.kept(layer), oracle.kept(oracle.norms(other)[path]), 1e-4)
    assert not any(np.isnan(weight).any() for weight in one.get_weights())
