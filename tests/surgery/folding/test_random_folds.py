"""Folding on graphs that nobody thought of: convolutions of every kind, branches, shared layers, models in models."""

import keras
import numpy as np
import pytest
from folds import NORM, assert_equal_outputs, filled, norms
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import evenbatch as eb
from evenbatch.sites import Walk, walk

layers = keras.layers
CHANNELS = 4
pytestmark = pytest.mark.filterwarnings("ignore:Nothing could be folded:UserWarning")
EXAMPLES = 10 if keras.backend.backend() == "jax" else 30  # each of whose operations it compiles
FEW = settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@st.composite
def graphs(draw, depth=1):
    """A model for images of 5×5×4 in which every value has that shape, and every layer may be used again."""
    keras.utils.set_random_seed(0)
    return _model(draw, [], depth, "whole")


def _model(draw, pool, depth, name):
    tensors = [keras.Input((5, 5, CHANNELS))]
    for _ in range(draw(st.integers(2, 7))):
        tensors.append(_called(draw, pool, depth, tensors))
    ends = tensors[-1] if draw(st.booleans()) else layers.Add()([tensors[-1], draw(st.sampled_from(tensors))])
    return keras.Model(tensors[0], ends, name=name)


def _called(draw, pool, depth, tensors):
    x = draw(st.sampled_from(tensors[-2:]))
    if draw(st.integers(0, 5)) == 0:
        return draw(st.sampled_from([layers.Add, layers.Average, layers.Subtract]))()(
            [x, draw(st.sampled_from(tensors))]
        )
    if pool and draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from(pool))(x)
    if depth and draw(st.integers(0, 5)) == 0:
        layer = _model(draw, pool, depth - 1, f"inner_{len(pool)}_{draw(st.integers(0, 10**6))}")
    else:
        layer = draw(st.sampled_from(KINDS))(draw)
    pool.append(layer)
    return layer(x)


def _norm(draw):
    return NORM(scale=draw(st.booleans()), center=draw(st.booleans()))


def _conv(draw):
    settings = {"padding": "same", "use_bias": draw(st.booleans())}
    activation = draw(st.sampled_from([None, "relu"]))
    kind, more = draw(
        st.sampled_from(
            [
                (layers.Conv2D, {"filters": CHANNELS, "kernel_size": 3}),
                (layers.Conv2D, {"filters": CHANNELS, "kernel_size": 1, "groups": 2}),
                (layers.Conv2DTranspose, {"filters": CHANNELS, "kernel_size": 3}),
                (layers.DepthwiseConv2D, {"kernel_size": 3}),
                (layers.SeparableConv2D, {"filters": CHANNELS, "kernel_size": 3}),
            ]
        )
    )
    return kind(**more, **settings, activation=activation)


def _dense(draw):
    return layers.Dense(CHANNELS, use_bias=draw(st.booleans()))


def _between(draw):
    pooling = {"pool_size": 2, "strides": 1, "padding": "same"}
    kind, more = draw(
        st.sampled_from(
            [
                (layers.ReLU, {}),
                (layers.Dropout, {"rate": 0.5}),
                (layers.Activation, {"activation": "linear"}),
                (layers.MaxPooling2D, pooling),
                (layers.AveragePooling2D, pooling),
            ]
        )
    )
    return kind(**more)


KINDS = [_norm, _norm, _norm, _conv, _conv, _conv, _dense, _between]


def curves(walked: Walk, x):
    """What comes of every ReLU of a model, which no fold changes, by path and number of the call."""
    known, found = {walked.inputs[0]: x}, {}
    for call in walked.calls:
        known |= call.run(known, training=False)
        layer = call.site.layer
        if isinstance(layer, layers.ReLU) or getattr(layer, "activation", None) is keras.activations.relu:
            calls = [path for path, _ in found].count(call.site.path)
            found[call.site.path, calls] = keras.ops.convert_to_numpy(known[call.gives[0]])
    return found


@FEW
@given(graphs(), st.integers(0, 2**16))
def test_outputs_and_every_value_between_folds_are_the_same(model, seed):
    filled(model, seed)
    x = keras.ops.convert_to_tensor(np.random.default_rng(seed).normal(size=(2, 5, 5, CHANNELS)).astype("float32"))
    before = curves(walk(model), x)
    assume(norms(model) and before)
    new, report = eb.fold(model, return_report=True)
    assert len(norms(new)) == len(norms(model)) - len(report.folded())
    assert_equal_outputs(new, model, 1e-4)
    after = curves(walk(new), x)
    assert before.keys() == after.keys()
    for key, values in before.items():
        assert np.abs(values - after[key]).max() <= 1e-4 * np.abs(values).max()


@FEW
@given(graphs(), st.integers(0, 2**16))
def test_what_stayed_once_stays_again(model, seed):
    filled(model, seed)
    assume(norms(model))
    once, report = eb.fold(model, return_report=True)
    if report.kept():
        _, again = eb.fold(once, return_report=True)
        assert again.folded() == []
