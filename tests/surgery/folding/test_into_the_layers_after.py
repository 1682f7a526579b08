"""A normalization before linear layers becomes a part of them, where that is exact."""

import keras
import numpy as np
import pytest
from folds import NORM, chain, filled, fold, norms, refused

layers = keras.layers
IMAGE = (6, 5, 4)
SHAPES = {"Conv1D": (7, 4), "DepthwiseConv1D": (7, 4), "SeparableConv1D": (7, 4), "Conv3D": (4, 5, 4, 4)}
LINEAR = {
    "Dense": lambda **more: layers.Dense(6, activation="relu", **more),
    "Conv1D": lambda **more: layers.Conv1D(6, 3, **more),
    "Conv2D": lambda **more: layers.Conv2D(6, 3, strides=2, activation="relu", **more),
    "Conv2D, of one place": lambda **more: layers.Conv2D(6, 1, strides=2, padding="same", **more),
    "Conv2D, groups": lambda **more: layers.Conv2D(6, 3, groups=2, **more),
    "Conv3D": lambda **more: layers.Conv3D(6, 2, **more),
    "DepthwiseConv1D": lambda **more: layers.DepthwiseConv1D(3, depth_multiplier=2, **more),
    "DepthwiseConv2D": lambda **more: layers.DepthwiseConv2D(3, depth_multiplier=2, **more),
    "SeparableConv1D": lambda **more: layers.SeparableConv1D(6, 3, depth_multiplier=2, **more),
    "SeparableConv2D": lambda **more: layers.SeparableConv2D(6, 3, **more),
}
PADDED = {
    "Conv2D": lambda: layers.Conv2D(6, 3, padding="same"),
    "Conv1D, causal": lambda: layers.Conv1D(6, 3, padding="causal"),
    "DepthwiseConv2D": lambda: layers.DepthwiseConv2D(3, padding="same"),
    "SeparableConv2D": lambda: layers.SeparableConv2D(6, 3, padding="same"),
    "Conv2DTranspose": lambda: layers.Conv2DTranspose(6, 3),
    "ZeroPadding2D": lambda: layers.ZeroPadding2D(1),
}


def assert_folded(model, into):
    new, report = fold(model)
    assert norms(new) == []
    assert [one.into for one in report.folded()] == [into]


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("kind", LINEAR)
def test_a_linear_layer_takes_it_in(kind, use_bias):
    shape = SHAPES.get(kind, IMAGE)
    assert_folded(chain(shape, layers.ReLU(), NORM(), LINEAR[kind](use_bias=use_bias, name="linear")), ("linear",))


@pytest.mark.parametrize("kind", PADDED)
def test_where_zeros_are_padded_it_stays_unless_it_adds_nothing(kind):
    shape = SHAPES.get(kind.split(",")[0], IMAGE)
    last = [layers.Conv2D(3, 3)] if kind == "ZeroPadding2D" else []
    model = chain(shape, layers.ReLU(), norm := NORM(center=False), PADDED[kind](), *last)
    assert "pads with zeros" in (reason := refused(model)) or "at its border" in reason
    norm.moving_mean.assign(np.zeros(4))
    new, _ = fold(model)
    assert norms(new) == []


BETWEEN = {
    "Flatten": [layers.Flatten()],
    "Dropout, Flatten": [layers.Dropout(0.5), layers.Flatten()],
    "AveragePooling2D": [layers.AveragePooling2D(2), layers.Flatten()],
    "GlobalAveragePooling2D": [layers.GlobalAveragePooling2D()],
    "Cropping2D": [layers.Cropping2D(1)],
    "UpSampling2D": [layers.UpSampling2D(2)],
}


@pytest.mark.parametrize("between", BETWEEN)
def test_it_moves_through_what_does_not_mind(between):
    parts = [type(one).from_config(one.get_config()) for one in BETWEEN[between]]
    assert_folded(chain(IMAGE, layers.ReLU(), NORM(), *parts, layers.Dense(3, name="dense")), ("dense",))


@pytest.mark.parametrize("data_format", ["channels_first", "channels_last"])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_flattened_channels_find_their_weights(axis, data_format):
    parts = layers.ReLU(), NORM(axis=axis), layers.Flatten(data_format=data_format), layers.Dense(3, name="dense")
    assert_folded(chain(IMAGE, *parts), ("dense",))


def test_the_largest_value_lets_it_through_where_no_gamma_is_negative():
    model = chain(IMAGE, layers.ReLU(), norm := NORM(), layers.MaxPooling2D(2), layers.Dense(3, name="dense"))
    assert "a negative gamma" in refused(model)
    norm.gamma.assign(np.arange(4))
    assert_folded(model, ("dense",))


def test_all_that_take_it_take_it_in():
    x = inputs = keras.Input((4,))
    x = NORM()(layers.ReLU()(x))
    ends = [layers.Dense(3, name=name)(x) for name in ("a", "b")]
    new, report = fold(filled(keras.Model(inputs, ends)))
    assert norms(new) == []
    assert sorted(report.folded()[0].into) == ["a", "b"]


def test_one_that_cannot_keeps_it_from_all():
    x = inputs = keras.Input((4,))
    x = NORM()(layers.ReLU()(x))
    model = filled(keras.Model(inputs, [layers.Dense(3)(x), layers.Activation("tanh", name="curve")(x)]))
    assert "curve (Activation), after it, applies tanh, which is not linear" in refused(model)


def test_one_before_another_that_stays_goes_into_it():
    parts = layers.ReLU(), NORM(name="first"), NORM(name="second", scale=False, center=False), layers.ReLU()
    new, report = fold(chain((4,), *parts))
    assert [one.name for one in norms(new)] == ["second"]
    assert report.folded()[0].into == ("second",)


def test_the_report_names_the_layer_that_has_it_in_the_end():
    model = chain((4,), layers.ReLU(), NORM(name="first"), NORM(name="second"), layers.Dense(3, name="dense"))
    new, report = fold(model)
    assert norms(new) == []
    assert [one.into for one in report.folded()] == [("dense",), ("dense",)]


def test_one_that_normalizes_by_its_batch_takes_nothing_in():
    x = inputs = keras.Input((4,))
    x = NORM(name="second")(NORM(name="first")(layers.ReLU()(x)), training=True)
    model = filled(keras.Model(inputs, layers.ReLU()(x)))
    assert "second (BatchNormalization), after it, is called with training=True" in refused(model)


def test_the_layer_between_two_takes_in_both():
    model = chain((4,), layers.ReLU(), NORM(), layers.Dense(3, name="dense"), NORM(), layers.ReLU())
    new, report = fold(model)
    assert norms(new) == []
    assert {one.into for one in report.folded()} == {("dense",)}


def test_integers_need_the_normalization_to_become_numbers_of_the_layer():
    inputs = keras.Input((4,), dtype="int32")
    model = filled(keras.Model(inputs, layers.Dense(3)(NORM(name="norm")(inputs))))
    assert "of dtype int32" in refused(model)
