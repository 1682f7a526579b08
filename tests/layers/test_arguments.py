"""What the layer refuses, and with what words."""

import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"axis": 1.5}, "axis must be one integer.*received 1.5"),
        ({"axis": [1, 2]}, r"axis must be one integer.*received \[1, 2\]"),
        ({"axis": True}, "axis must be one integer.*received True"),
        ({"axis": None}, "axis must be one integer.*received None"),
        ({"axis": "1"}, "axis must be one integer.*received '1'"),
        ({"momentum": 1.1}, "momentum must be a number from 0 to 1.*received 1.1"),
        ({"momentum": -0.1}, "momentum must be a number from 0 to 1.*received -0.1"),
        ({"momentum": float("nan")}, "momentum must be a number from 0 to 1.*received nan"),
        ({"momentum": None}, "momentum must be a number from 0 to 1.*received None"),
        ({"momentum": "0.9"}, "momentum must be a number from 0 to 1.*received '0.9'"),
        ({"epsilon": -1e-3}, "epsilon must be a finite number of at least 0.*received -0.001"),
        ({"epsilon": float("inf")}, "epsilon must be a finite number of at least 0.*received inf"),
        ({"epsilon": None}, "epsilon must be a finite number of at least 0.*received None"),
        ({"debias": True, "renorm": True}, "debias=True must not be combined with renorm=True"),
    ],
)
def test_a_bad_argument_is_named_at_construction(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        eb.BatchNormalization(**arguments)


@pytest.mark.parametrize(
    ("axis", "shape", "message"),
    [
        (-1, (8,), r"at least 2 axes.*received the shape \(8,\)"),
        (-1, (), r"at least 2 axes.*received the shape \(\)"),
        (4, (None, 8, 8, 3), r"axis must be from -4 to 3 .*\(None, 8, 8, 3\), received 4"),
        (-5, (None, 8, 8, 3), "axis must be from -4 to 3 .*received -5"),
        (-1, (None, 8, None), r"number of channels must be known.*\(None, 8, None\), which is None at axis -1"),
        (0, (None, 8), "number of channels must be known.*None at axis 0"),
    ],
)
def test_inputs_that_do_not_fit_are_named_when_the_layer_is_built(axis, shape, message):
    with pytest.raises(InvalidArgument, match=message):
        eb.BatchNormalization(axis=axis).build(shape)


def test_an_unknown_rank_is_named():
    with pytest.raises(InvalidArgument, match="number of axes of the inputs must be known"):
        eb.BatchNormalization().build(None)


def test_a_rank_of_one_is_refused_in_a_call_too():
    with pytest.raises(InvalidArgument, match="at least 2 axes"):
        eb.BatchNormalization()(np.ones(4, "float32"))


@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("shape", [(4,), (4, 2), (4, 3, 5), (3, 4), (4, 3, 5, 1)])
def test_a_mask_that_does_not_fit_is_named_with_both_shapes(axis, shape):
    channels_away = (4, 3) if axis == -1 else (4, 5)
    with pytest.raises(InvalidArgument) as caught:
        eb.BatchNormalization(axis=axis)(np.ones((4, 3, 5), "float32"), training=True, mask=np.ones(shape, bool))
    assert f"{channels_away} for inputs of the shape (4, 3, 5)" in str(caught.value)
    assert f"received the shape {shape}" in str(caught.value)


@pytest.mark.parametrize("training", [True, False])
def test_a_mask_is_checked_in_inference_too(training):
    with pytest.raises(InvalidArgument, match="mask must have the shape"):
        eb.BatchNormalization()(np.ones((4, 3, 5), "float32"), training=training, mask=np.ones((4, 9), bool))


@pytest.mark.parametrize(
    "arguments",
    [{"axis": np.int64(1)}, {"momentum": 1}, {"momentum": 0}, {"epsilon": 0}, {"momentum": np.float32(0.5)}],
)
def test_what_keras_accepts_is_accepted(arguments):
    ours, theirs = eb.BatchNormalization(**arguments), keras.layers.BatchNormalization(**arguments)
    assert {name: getattr(ours, name) for name in arguments} == {name: getattr(theirs, name) for name in arguments}


def test_arguments_may_be_given_by_place_as_in_keras():
    ours, theirs = (
        layer(1, 0.5, 1e-2, False, True) for layer in (eb.BatchNormalization, keras.layers.BatchNormalization)
    )
    for name in ("axis", "momentum", "epsilon", "center", "scale"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_keras_own_checks_still_speak():
    with pytest.raises(ValueError, match="invalid keys for `renorm_clipping`"):
        eb.BatchNormalization(renorm=True, renorm_clipping={"max": 3})
