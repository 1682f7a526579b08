"""`upgrade` and back on graphs that nobody thought of: branches, shared layers, models within models."""

from typing import Any

import keras
import models
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import evenbatch as eb
from evenbatch.sites import sites

pytestmark = pytest.mark.filterwarnings("ignore:There is no:UserWarning")  # graphs without normalization occur
layers = keras.layers
WIDTH = 3
FEW = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def graphs(draw: Any, depth: int = 2) -> Any:
    """A model of one to two inputs and outputs, in which every layer may be used again anywhere."""
    keras.utils.set_random_seed(0)
    pool: list[Any] = []
    return _model(draw, pool, depth, inputs=draw(st.integers(1, 2)), outputs=draw(st.integers(1, 2)), name="whole")


def _model(draw: Any, pool: list[Any], depth: int, *, inputs: int, outputs: int, name: str) -> Any:
    feeds = [keras.Input((WIDTH,)) for _ in range(inputs)]
    tensors = list(feeds)
    for _ in range(draw(st.integers(2, 6))):
        tensors.append(_call(draw, pool, depth, tensors))
    ends = [layers.Dense(WIDTH)(layers.Add()([tensors[-1 - i], *feeds])) for i in range(outputs)]
    return keras.Model(feeds if inputs > 1 else feeds[0], ends if outputs > 1 else ends[0], name=name)


def _call(draw: Any, pool: list[Any], depth: int, tensors: list[Any]) -> Any:
    choices = ["norm", "norm", "dense", "add", "operation", "wrapped", "sequential", *(["model"] if depth else [])]
    kind, x = draw(st.sampled_from(choices)), draw(st.sampled_from(tensors))
    if kind == "add":
        return layers.Add()([x, draw(st.sampled_from(tensors))])
    if kind == "operation":
        return keras.ops.tanh(x) * 2.0
    if pool and draw(st.booleans()):
        return draw(st.sampled_from(pool))(x)
    layer = _layer(draw, pool, depth, kind)
    pool.append(layer)
    return layer(x)


def _layer(draw: Any, pool: list[Any], depth: int, kind: str) -> Any:
    if kind == "norm":
        return _norm(draw)
    if kind == "dense":
        return layers.Dense(WIDTH, activation="tanh")
    if kind == "wrapped":
        return models.Block(layers.Dense(WIDTH), _norm(draw), [_norm(draw)] if draw(st.booleans()) else [])
    if kind == "sequential":
        return keras.Sequential([keras.Input((WIDTH,)), layers.Dense(WIDTH), _norm(draw)])
    return _model(draw, pool, depth - 1, inputs=1, outputs=1, name=f"inner_{len(pool)}_{draw(st.integers(0, 10**6))}")


def _norm(draw: Any) -> Any:
    return layers.BatchNormalization(
        momentum=draw(st.sampled_from([0.5, 0.99])),
        scale=draw(st.booleans()),
        center=draw(st.booleans()),
        trainable=draw(st.booleans()),
    )


def _outline(model: Any) -> list[Any]:
    return [(site.path, site.uses, [one.path for one in site.producers], site.leads_out) for site in sites(model)]


def _step(model: Any) -> list[Any]:
    model.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=keras.backend.backend() == "tensorflow")
    x = models.inputs_of(model, 8)
    loss = model.train_on_batch(x, models.targets_of(model, x))
    return [np.array(loss), *model.get_weights()]


@FEW
@given(graphs(), st.integers(0, 2**16))
def test_back_and_forth_is_the_identity_in_structure_weights_and_function(model: Any, seed: int) -> None:
    models.filled(model, seed)
    new = eb.upgrade(model, synchronized=False)
    back = eb.to_keras(new)
    assert _outline(back) == _outline(new) == _outline(model)
    assert back.get_config() == model.get_config()
    for one, other in zip(back.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    x = models.inputs_of(model)
    for one, other in zip(models.arrays(back(x)), models.arrays(model(x)), strict=True):
        np.testing.assert_array_equal(one, other)


@FEW
@given(graphs(), st.integers(0, 2**16))
def test_a_step_of_the_upgraded_model_is_the_step_of_the_given_one(model: Any, seed: int) -> None:
    models.filled(model, seed)
    new = eb.upgrade(model)
    for one, other in zip(_step(new), _step(model), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * max(1.0, np.abs(other).max(initial=0)))
