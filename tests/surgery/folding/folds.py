"""What the tests of folding share: weights that nobody would guess, and what a fold is held against."""

import keras
import numpy as np
import pytest

import evenbatch as eb

layers = keras.layers
NORM = layers.BatchNormalization


def filled(model, seed=0):
    """The same model with weights drawn anew: gammas of both signs and 0, means off 0, variances from tiny to large."""
    draw = np.random.default_rng(seed)
    for layer in model._flatten_layers(include_self=False):
        for weight in layer._trainable_variables + layer._non_trainable_variables:
            if keras.backend.is_float_dtype(weight.dtype):
                weight.assign(_drawn(draw, weight))
    return model


def _drawn(draw, weight):
    shape = tuple(weight.shape)
    if weight.name == "moving_variance":
        return draw.choice([1e-6, 0.3, 4.0], shape) * draw.uniform(0.5, 2, shape)
    if weight.name == "gamma":
        return draw.choice([-1.5, 0.0, 0.7, 1.0], shape, p=[0.3, 0.1, 0.3, 0.3])
    return draw.normal(size=shape) * (0.4 if len(shape) > 1 else 1.0)


def norms(model):
    return [one for one in model._flatten_layers() if isinstance(one, NORM)]


def outputs(model, seed=1, count=3):
    draw = np.random.default_rng(seed)
    specs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    x = keras.tree.map_structure(lambda spec: draw.normal(size=(count, *spec.shape[1:])).astype("float32"), specs)
    return [keras.ops.convert_to_numpy(one) for one in keras.tree.flatten(model(x, training=False))]


def assert_equal_outputs(new, model, tolerance=2e-5):
    for one, other in zip(outputs(new), outputs(model), strict=True):
        assert one.shape == other.shape
        assert np.isfinite(other).all()
        np.testing.assert_allclose(one, other, atol=tolerance * np.abs(other).max(), rtol=0)


def fold(model):
    """The folded model and the report, when the outputs are those of the given one."""
    before = [weight.copy() for weight in model.get_weights()]
    new, report = eb.fold(model, return_report=True)
    assert_equal_outputs(new, model)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)
    assert report.largest_at_places is None or report.largest_at_places < 1e-4
    return new, report


def refused(model):
    """Why the only normalization of a model stays; the new model is equal."""
    with pytest.warns(UserWarning, match="Nothing could be folded"):
        new, report = fold(model)
    assert len(norms(new)) == len(norms(model))
    return report.kept()[0].reason


def chain(shape, *parts):
    """A Functional model of layers one after another, with weights."""
    x = inputs = keras.Input(shape)
    for part in parts:
        x = part(x)
    return filled(keras.Model(inputs, x))
