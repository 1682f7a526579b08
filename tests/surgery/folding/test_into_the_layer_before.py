"""A normalization behind a linear layer becomes a part of it, whatever the layer and the normalization are."""

import keras
import numpy as np
import pytest
from folds import NORM, chain, filled, fold, norms, refused

import evenbatch as eb

layers = keras.layers
IMAGE, LINE, CUBE = (6, 5, 4), (7, 4), (4, 5, 4, 4)
LINEAR = {
    "Dense": (IMAGE, lambda **more: layers.Dense(6, **more)),
    "Conv1D": (LINE, lambda **more: layers.Conv1D(6, 3, **more)),
    "Conv2D": (IMAGE, lambda **more: layers.Conv2D(6, 3, **more)),
    "Conv2D, padded": (IMAGE, lambda **more: layers.Conv2D(6, 3, strides=2, padding="same", **more)),
    "Conv2D, groups": (IMAGE, lambda **more: layers.Conv2D(6, 3, groups=2, **more)),
    "Conv2D, dilated": (IMAGE, lambda **more: layers.Conv2D(6, 2, dilation_rate=2, **more)),
    "Conv3D": (CUBE, lambda **more: layers.Conv3D(6, 2, **more)),
    "Conv1DTranspose": (LINE, lambda **more: layers.Conv1DTranspose(6, 3, strides=2, **more)),
    "Conv2DTranspose": (IMAGE, lambda **more: layers.Conv2DTranspose(6, 3, strides=2, padding="same", **more)),
    "Conv3DTranspose": (CUBE, lambda **more: layers.Conv3DTranspose(6, 2, **more)),
    "DepthwiseConv1D": (LINE, lambda **more: layers.DepthwiseConv1D(3, depth_multiplier=2, **more)),
    "DepthwiseConv2D": (IMAGE, lambda **more: layers.DepthwiseConv2D(3, depth_multiplier=2, **more)),
    "SeparableConv1D": (LINE, lambda **more: layers.SeparableConv1D(6, 3, depth_multiplier=2, **more)),
    "SeparableConv2D": (IMAGE, lambda **more: layers.SeparableConv2D(6, 3, padding="same", **more)),
}


@pytest.fixture(params=LINEAR)
def kind(request):
    return LINEAR[request.param]


@pytest.mark.parametrize("use_bias", [True, False])
def test_a_linear_layer_takes_it_in(kind, use_bias):
    shape, make = kind
    model = chain(shape, make(use_bias=use_bias, name="linear"), NORM(name="norm"), layers.ReLU())
    new, report = fold(model)
    assert norms(new) == []
    assert [(one.path, one.into) for one in report.folded()] == [("norm", ("linear",))]
    assert new.get_layer("linear").use_bias


def test_channels_first_are_another_axis():
    shape, axis = (4, 6, 5), 1
    conv = layers.Conv2D(6, 3, data_format="channels_first")
    assert_folded(chain(shape, conv, NORM(axis=axis)))


def assert_folded(model):
    new, report = fold(model)
    assert norms(new) == []
    return new, report


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("norm", [NORM, eb.BatchNormalization, eb.GhostBatchNormalization])
def test_normalizations_of_any_kind_go(norm, scale, center):
    assert_folded(chain((5,), layers.Dense(7), norm(scale=scale, center=center)))


@pytest.mark.parametrize("settings", [{"renorm": True}, {"epsilon": 0.0}, {"trainable": False}])
def test_normalizations_of_any_setting_go(settings):
    assert_folded(chain((5,), layers.Dense(7), eb.BatchNormalization(**settings)))


def test_a_far_mean_over_a_small_spread_goes_as_well_as_rounding_lets_it():
    model = chain((5,), layers.Dense(7), NORM(name="norm"))
    norm = model.get_layer("norm")
    norm.moving_mean.assign(np.full(7, 1e4))
    norm.moving_variance.assign(np.ones(7))
    new, report = eb.fold(model, return_report=True)
    assert norms(new) == []
    assert 1e-5 < report.largest_at_places < 1e-2


# JAX has no float64 as it is set up here; Keras' layers on PyTorch round some of it to float32.
DTYPES = {
    "float64": {"tensorflow": 1e-12, "torch": 1e-6},
    "mixed_bfloat16": 0.05,
    "mixed_float16": 0.05,
    "bfloat16": 0.05,
}
BACKEND = keras.backend.backend()


@pytest.mark.parametrize("dtype", [one for one in DTYPES if (one, BACKEND) != ("float64", "jax")])
def test_every_dtype_goes(dtype):
    x = inputs = keras.Input((5,), dtype="float64" if dtype == "float64" else "float32")
    for part in (layers.Dense(7, dtype=dtype), NORM(dtype=dtype)):
        x = part(x)
    new, report = eb.fold(filled(keras.Model(inputs, x)), return_report=True)
    assert norms(new) == []
    allowed = DTYPES[dtype]
    assert report.largest_difference < (allowed[BACKEND] if isinstance(allowed, dict) else allowed)


def test_two_in_a_row_both_go_into_the_layer_before_them():
    _, report = assert_folded(chain((5,), layers.Dense(7, name="dense"), NORM(), NORM()))
    assert {one.into for one in report.folded()} == {("dense",)}


BETWEEN = {
    "Dropout": layers.Dropout(0.5),
    "SpatialDropout2D": layers.SpatialDropout2D(0.5),
    "GaussianNoise": layers.GaussianNoise(0.5),
    "Activation": layers.Activation("linear"),
    "AveragePooling2D": layers.AveragePooling2D(2),
    "AveragePooling2D, padded": layers.AveragePooling2D(3, padding="same"),
    "GlobalAveragePooling2D": layers.GlobalAveragePooling2D(),
    "GlobalAveragePooling2D, axes kept": layers.GlobalAveragePooling2D(keepdims=True),
    "Cropping2D": layers.Cropping2D(1),
    "UpSampling2D": layers.UpSampling2D(2),
    "UpSampling2D, bilinear": layers.UpSampling2D(2, interpolation="bilinear"),
}


@pytest.mark.parametrize("between", BETWEEN)
def test_it_moves_through_what_does_not_mind(between):
    layer = type(BETWEEN[between]).from_config(BETWEEN[between].get_config())
    assert_folded(chain(IMAGE, layers.Conv2D(6, 3), layer, NORM()))


@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.GlobalMaxPooling2D])
def test_it_moves_through_the_largest_value_where_no_gamma_is_negative(pooling):
    model = chain(IMAGE, layers.Conv2D(6, 3), pooling(), NORM(name="norm"))
    assert "a negative gamma" in refused(model)
    model.get_layer("norm").gamma.assign(np.arange(6))
    assert_folded(model)


def test_padding_with_zeros_lets_through_what_adds_nothing():
    model = chain(IMAGE, layers.Conv2D(6, 3), layers.ZeroPadding2D(1), NORM(center=False, name="norm"))
    assert "pads with zeros, to which nothing would be added" in refused(model)
    model.get_layer("norm").moving_mean.assign(np.zeros(6))
    assert_folded(model)


def two(merge, **more):
    inputs = keras.Input(IMAGE)
    a, b = layers.Conv2D(6, 3, name="a")(inputs), layers.Conv2D(6, 3, name="b")(inputs)
    return filled(keras.Model(inputs, NORM(**more)(merge([a, b]))))


@pytest.mark.parametrize(
    "merge", [layers.Add(), layers.Subtract(), layers.Average(), layers.Concatenate(), layers.Concatenate(axis=1)]
)
def test_it_is_divided_among_the_layers_whose_outputs_are_put_together(merge):
    _, report = assert_folded(two(merge))
    assert set(report.folded()[0].into) == {"a", "b"}


def test_a_sum_of_one_output_twice_is_not_divided():
    inputs = keras.Input(IMAGE)
    conv = layers.Conv2D(6, 3, name="conv")
    model = keras.Model(inputs, NORM()(layers.Add()([conv(inputs), conv(layers.Rescaling(2.0)(inputs))])))
    assert "each would take in something else" in refused(filled(model))
