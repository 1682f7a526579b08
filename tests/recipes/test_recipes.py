import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch import recipes
from evenbatch.errors import InvalidArgument

SHAPES = {"vector": (64,), "image": (8, 8, 1)}
NORMS = {"mlp": 1, "sigmoid": 3, "cnn": 1, "regularized": 2, "resnet20": 21}


def normalizations(model):
    return [layer for layer in model.layers if isinstance(layer, eb.BatchNormalization)]


@pytest.mark.parametrize("name", recipes.CLASSIFIERS)
def test_with_and_without_differ_by_the_layer_alone(name):
    recipe = recipes.get(name)
    arms = [recipe(SHAPES[recipe.inputs], 10, normalize) for normalize in (True, False)]
    assert [len(normalizations(model)) for model in arms] == [NORMS[name], 0]
    others = [[layer.name for layer in m.layers[1:] if not isinstance(layer, eb.BatchNormalization)] for m in arms]
    assert others[0] == others[1]


@pytest.mark.parametrize("name", recipes.CLASSIFIERS)
def test_outputs_are_probabilities(name):
    recipe = recipes.get(name)
    x = np.random.default_rng(0).uniform(size=(3, *SHAPES[recipe.inputs])).astype("float32")
    y = keras.ops.convert_to_numpy(recipe(x.shape[1:], 7, True)(x))
    assert y.shape == (3, 7)
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", recipes.CLASSIFIERS)
def test_a_function_that_returns_a_layer_is_plugged_in(name):
    recipe = recipes.get(name)
    model = recipe(SHAPES[recipe.inputs], 10, keras.layers.LayerNormalization)
    assert sum(isinstance(layer, keras.layers.LayerNormalization) for layer in model.layers) == NORMS[name]


def test_a_bias_that_normalization_removes_is_left_out():
    layers = {layer.name: layer for layer in recipes.get("sigmoid")((64,), 10, True).layers}
    assert [layers[f"dense_{i}"].use_bias for i in (1, 2, 3)] == [False] * 3
    assert layers["classes"].use_bias


def test_mlp_after_the_activation_keeps_its_bias():
    model = recipes.get("mlp")((64,), 10, True, placement="after")
    names = [layer.name for layer in model.layers]
    assert names[1:] == ["dense_1", "relu_1", "norm_1", "classes"]
    assert model.get_layer("dense_1").use_bias


def test_resnet20_has_twenty_layers_with_weights_and_the_published_size():
    model = recipes.get("resnet20")((32, 32, 3), 10, True)
    kernels = [w for w in model.trainable_weights if w.name == "kernel"]
    assert len(kernels) - 2 == 20  # two of them are shortcuts
    assert 0.27e6 < model.count_params() < 0.28e6  # 0.27 million (He et al. 2015, table 6)


def test_regularized_has_dropout_and_l2_where_asked_for():
    model = recipes.get("regularized")((64,), 10, True, dropout=0.3, l2=1e-3)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    assert float(model.get_layer("dense_1").kernel_regularizer.l2) == pytest.approx(1e-3)
    assert recipes.get("regularized")((64,), 10).get_layer("dense_1").kernel_regularizer is None


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        ("mlp", {"placement": "between"}, "unknown placement 'between', allowed: before, after"),
        ("mlp", {"units": 0}, "units must be an integer of at least 1, received 0"),
        ("mlp", {"units": True}, "units must be an integer of at least 1, received True"),
        ("mlp", {"units": "abc"}, "units must be an integer of at least 1, received 'abc'"),
        ("mlp", {"depth": 0}, "depth must be an integer"),
        ("cnn", {"filters": 0}, "filters must be an integer"),
        ("regularized", {"dropout": 1.0}, r"dropout must be a number in \[0, 1\), received 1.0"),
        ("regularized", {"l2": -1.0}, "l2 must be a finite number of at least 0"),
        ("resnet20", {"l2": float("nan")}, "l2 must be a finite number of at least 0"),
    ],
)
def test_an_option_outside_what_is_allowed_is_refused(name, options, sentence):
    recipe = recipes.get(name)
    with pytest.raises(InvalidArgument, match=sentence):
        recipe(SHAPES[recipe.inputs], 10, True, **options)


def test_a_layer_in_place_of_a_function_is_refused():
    with pytest.raises(InvalidArgument, match="normalize must be True, False or a function"):
        recipes.get("mlp")((64,), 10, "batch")


def test_an_unknown_recipe_suggests_the_nearest():
    with pytest.raises(InvalidArgument, match=r"unknown recipe 'resnet', .* did you mean 'resnet20'"):
        recipes.get("resnet")


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(InvalidArgument, match="did you mean 'dropout'"):
        recipes.get("regularized").check_options({"droput": 0.5})
    with pytest.raises(InvalidArgument, match="has no options"):
        recipes.get("sigmoid").check_options({"units": 5})


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InvalidArgument, match="at least 4×4, received 3×8"):
        recipes.get("cnn").check_shape((3, 8, 1))


@pytest.mark.parametrize(("name", "shape"), [("cnn", (64,)), ("mlp", (8, 8, 1))])
def test_examples_of_another_shape_are_refused(name, shape):
    with pytest.raises(InvalidArgument, match="needs examples of shape"):
        recipes.get(name).check_shape(shape)
