"""What holds for every layer of the package."""

import json

import contract
import keras
import numpy as np
import pytest

import evenbatch.layers as layers
from evenbatch.errors import InvalidArgument

each_layer = pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.layer.__name__)
each_setting = pytest.mark.parametrize(
    ("case", "settings"),
    [
        pytest.param(case, settings, id=f"{case.layer.__name__}-{i}")
        for case in contract.CASES
        for i, settings in enumerate(case.settings)
    ],
)
# Keras does not write it to configurations.
UNSAVED = {"autocast"}
X = np.random.default_rng(0).normal(2, 3, (12, 5, 4)).astype("float32")
Y = np.random.default_rng(1).normal(size=(12, 5, 2)).astype("float32")
WAYS = {"default": {}, "compiled": {"jit_compile": True}, "eager": {"run_eagerly": True}}


def numbers(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def filled(case, **arguments):
    """A model with weights that nobody would guess."""
    model, rng = case.model(X.shape[1:], **arguments), np.random.default_rng(2)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


def test_every_layer_has_its_case():
    assert {case.layer.__name__ for case in contract.CASES} == set(layers.__all__)


@each_layer
def test_no_argument_is_forgotten_here(case):
    names = {name for name, _ in case.arguments()}
    assert set().union(*case.settings) == names - case.refused - UNSAVED


@each_setting
def test_no_argument_here_is_its_default(case, settings):
    defaults = dict(reversed([*case.arguments()]))  # the first to name an argument decides
    assert not [name for name, value in settings.items() if value == defaults[name]]


@each_setting
def test_every_argument_is_in_the_configuration(case, settings):
    config = case.layer(**settings).get_config()
    expected = {name: keras.saving.serialize_keras_object(value) for name, value in settings.items()}
    assert {name: config[name] for name in settings} == expected


@each_setting
def test_a_configuration_makes_the_same_layer_again(case, settings):
    layer = case.layer(**settings)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is case.layer
    assert again.get_config() == layer.get_config()


@each_layer
def test_no_argument_that_the_layer_refuses_is_in_the_configuration(case):
    assert not case.refused & case.make().get_config().keys()


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in contract.CASES for name in sorted(case.refused)], ids=str
)
def test_an_argument_that_the_layer_does_not_have_is_named(case, name):
    with pytest.raises(InvalidArgument, match=f"^{name} is no argument of this layer, .*; leave it out$"):
        case.make(**{name: None})


@each_layer
def test_the_layer_is_found_where_keras_layer_is_looked_for(case):
    assert isinstance(case.make(), keras.layers.BatchNormalization)


@each_layer
def test_the_weights_have_the_names_and_the_order_of_keras_layer(case):
    norm = filled(case, debias=True).get_layer("norm")
    assert [w.name for w in norm.weights] == ["gamma", "beta", "moving_mean", "moving_variance", "moving_weight"]


@each_layer
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_saved_model_loads_with_the_same_weights(case, suffix, tmp_path):
    model = filled(case, debias=True, momentum=0.7)
    model.save(tmp_path / f"model{suffix}")
    again = keras.models.load_model(tmp_path / f"model{suffix}")
    assert again.get_layer("norm").get_config() == model.get_layer("norm").get_config()
    for found, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)


@each_layer
def test_a_saved_model_predicts_the_same_when_loaded(case, tmp_path):
    model = filled(case)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    found, expected = (numbers(one(case.fed(X))) for one in (again, model))
    np.testing.assert_array_equal(found, expected)


@each_layer
def test_a_model_without_a_class_of_its_own_is_built_from_its_file(case, tmp_path):
    model = keras.Sequential([case.make()])
    model(case.fed(X))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert len(model.weights) == 4
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@each_layer
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("shape", "axis"), [((12, 4), -1), ((12, 5, 4), 1), ((12, 3, 3, 4), -1)])
def test_a_symbolic_call_tells_what_a_call_returns(case, shape, axis, dtype):
    fed = case.fed(np.ones(shape, "float32"))
    layer = case.make(axis=axis, dtype=dtype)
    spec = layer.compute_output_spec(keras.tree.map_structure(lambda t: keras.KerasTensor(t.shape, t.dtype.name), fed))
    y = layer(fed, training=True)
    assert (spec.shape, spec.dtype) == (tuple(y.shape), keras.backend.standardize_dtype(y.dtype))


@each_layer
def test_a_symbolic_shape_keeps_an_open_batch(case):
    assert case.model((5, 4)).get_layer("norm").output.shape == (None, 5, 4)


@each_layer
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_in_float32(case, policy):
    layer, wide = case.make(dtype=policy), case.make()
    compute = keras.DTypePolicy(policy).compute_dtype
    found = layer(case.fed(X), training=True)
    rounded = numbers(keras.ops.cast(X, compute))
    expected = numbers(keras.ops.cast(wide(case.fed(rounded), training=True), compute))
    assert keras.backend.standardize_dtype(found.dtype) == compute
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}
    np.testing.assert_allclose(numbers(found), expected, rtol=0.02, atol=0.002)
    np.testing.assert_allclose(layer.moving_mean, wide.moving_mean, rtol=1e-5)


@each_layer
def test_what_a_mask_takes_out_changes_nothing_of_the_rest(case):
    mask = np.random.default_rng(3).random((12, 5)) < 0.6
    layers = [case.make(), case.make()]
    outputs = [
        numbers(layer(case.fed(x), training=True, mask=mask))[mask]
        for layer, x in zip(layers, (X, np.where(mask[..., None], X, 1e3)), strict=True)
    ]
    np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-5)
    for one, other in zip(*(layer.get_weights() for layer in layers), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@each_layer
def test_a_mask_that_keras_made_goes_on_through_the_layer(case):
    masked = keras.layers.Masking(0.0)(np.where(np.arange(5)[None, :, None] < 3, X, 0))
    y = case.make()(case.fed(masked), training=True)
    np.testing.assert_array_equal(
        numbers(keras.src.backend.get_keras_mask(y)), np.arange(5)[None, :] < np.full((12, 1), 3)
    )


@each_layer
@pytest.mark.parametrize("how", [pytest.param(WAYS[k], id=k, marks=[pytest.mark.slow] * bool(WAYS[k])) for k in WAYS])
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_step_of_fit_moves_every_weight(case, how):
    model = case.model(X.shape[1:], debias=True)
    model.compile(keras.optimizers.SGD(0.1), "mse", **how)
    before = model.get_layer("norm").get_weights()
    model.fit(case.fed(X), Y, batch_size=12, verbose=0)
    for old, new in zip(before, model.get_layer("norm").get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert (new != old).all()


@each_layer
def test_frozen_the_layer_runs_in_inference_mode(case):
    layer = case.make(trainable=False, moving_mean_initializer=keras.initializers.Constant(1.0))
    found, expected = (numbers(layer(case.fed(X), training=training)) for training in (True, False))
    np.testing.assert_array_equal(found, expected)


@each_layer
def test_frozen_the_layer_moves_nothing_in_fit(case):
    model = case.model(X.shape[1:])
    model.get_layer("norm").trainable = False
    model.compile("sgd", "mse")
    before = model.get_layer("norm").get_weights()
    model.fit(case.fed(X), Y, verbose=0)
    for old, new in zip(before, model.get_layer("norm").get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@each_layer
def test_inference_is_that_of_the_plain_layer(case):
    norm = filled(case).get_layer("norm")
    gamma, beta, *moving = norm.get_weights()
    plain = layers.BatchNormalization()
    plain.build(X.shape)
    # One class after the other, so that one gamma and one beta stand for all rows.
    for k in range(len(np.atleast_2d(gamma))):
        plain.set_weights([np.atleast_2d(gamma)[k], np.atleast_2d(beta)[k], *moving])
        fed = [X, np.full(len(X), k, "int32")] if isinstance(case.fed(X), list) else X
        np.testing.assert_allclose(numbers(norm(fed)), numbers(plain(X)), atol=1e-6)
