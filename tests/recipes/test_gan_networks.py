import keras
import numpy as np
import pytest

import evenbatch as eb
from evenbatch.errors import InvalidArgument
from evenbatch.recipes.gan import NORMALIZATIONS, gan


def normalizations(model):
    kinds = (keras.layers.BatchNormalization, keras.layers.GroupNormalization)
    return [layer.name for layer in model.layers if isinstance(layer, kinds)]


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3)])
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_networks_fit_each_other_and_make_images_within_their_range(shape, normalize):
    nets = gan(shape, 4, normalize, width=4, noise=6)
    noise, labels = keras.ops.ones((3, 6)), keras.ops.convert_to_tensor([0, 1, 3], "int32")
    is_conditional = normalize == "conditional"
    images = nets.generator([noise, labels] if is_conditional else noise, training=True)
    assert tuple(images.shape) == (3, *shape)
    assert np.abs(keras.ops.convert_to_numpy(images)).max() <= 1
    assert tuple(nets.discriminator([images, labels] if is_conditional else images).shape) == (3, 1)


@pytest.mark.parametrize(("base", "doublings"), [(None, 3), (4, 3), (8, 2)])
def test_a_base_is_doubled_to_the_size_of_the_image(base, doublings):
    generator = gan((32, 32, 3), 10, base=base, width=4).generator
    transposed = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert len(transposed) == doublings
    assert generator.output_shape == (None, 32, 32, 3)


def test_the_layer_stands_everywhere_but_at_the_ends():
    nets = gan((32, 32, 3), 10, width=4)
    assert normalizations(nets.generator) == [f"generator_{name}_norm" for name in ("dense", "conv_1", "conv_2")]
    assert normalizations(nets.discriminator) == ["discriminator_conv_2_norm", "discriminator_conv_3_norm"]
    assert not normalizations(gan((32, 32, 3), 10, False).generator)


def test_there_is_no_bias_where_the_layer_takes_it_away_and_one_where_not():
    nets = gan((28, 28, 1), 10, width=4)
    bias = {
        layer.name: layer.use_bias
        for net in (nets.generator, nets.discriminator)
        for layer in net.layers
        if hasattr(layer, "use_bias")
    }
    assert bias == {
        "generator_dense": False,
        "generator_conv_1": False,
        "generator_image": True,
        "discriminator_conv_1": True,
        "discriminator_conv_2": False,
        "discriminator_logit": True,
    }
    for normalize in ("none", "group"):  # a group's mean takes away the bias of the group alone
        nets = gan((28, 28, 1), 10, normalize, width=4)
        assert all(layer.use_bias for layer in nets.generator.layers if hasattr(layer, "use_bias"))


def test_the_form_of_tutorials_has_the_layer_everywhere_leaky_relu_and_its_biases():
    nets = gan((28, 28, 1), 10, width=4, form="tutorial")
    assert normalizations(nets.generator)[-1] == "generator_image_norm"
    assert normalizations(nets.discriminator)[0] == "discriminator_conv_1_norm"
    names = [layer.name for layer in nets.generator.layers]
    assert names.index("generator_dense_norm") < names.index("generator_reshape")
    assert not any(
        isinstance(layer, keras.layers.Activation) and "relu" in layer.name for layer in nets.generator.layers
    )
    assert all(layer.use_bias for layer in nets.generator.layers if hasattr(layer, "use_bias"))


def test_kinds_of_normalization_are_ours_and_the_conditional_ones_are_in_the_generator():
    kinds = {
        "batch": eb.BatchNormalization,
        "ghost": eb.GhostBatchNormalization,
        "conditional": eb.ConditionalBatchNormalization,
    }
    for normalize, kind in kinds.items():
        nets = gan((28, 28, 1), 10, normalize, width=4)
        assert type(nets.generator.get_layer("generator_dense_norm")) is kind
    assert type(nets.discriminator.get_layer("discriminator_conv_2_norm")) is eb.BatchNormalization
    own = gan((28, 28, 1), 10, keras.layers.LayerNormalization, width=4)
    assert any(isinstance(layer, keras.layers.LayerNormalization) for layer in own.generator.layers)


def test_dropout_is_in_the_discriminator_alone():
    nets = gan((28, 28, 1), 10, width=4, dropout=0.3)
    assert [layer.rate for layer in nets.discriminator.layers if isinstance(layer, keras.layers.Dropout)] == [0.3, 0.3]
    assert not any(isinstance(layer, keras.layers.Dropout) for layer in nets.generator.layers)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"input_shape": (8, 8, 1)}, "needs images of 28×28 or 32×32 pixels, received 8×8×1; have them resized"),
        ({"input_shape": (28, 32, 1)}, "needs images of"),
        ({"input_shape": (784,)}, "needs images of"),
        ({"base": 8}, "base must be 7 for images of 28×28"),
        ({"base": 5, "input_shape": (32, 32, 3)}, "base must be 4 or 8 for images of 32×32"),
        ({"normalize": "batches"}, "unknown normalization 'batches', .*did you mean 'batch'"),
        ({"normalize": 3}, "normalize must be True, False, one of"),
        ({"form": "literal"}, "unknown form"),
        ({"noise": 0}, "noise must be an integer of at least 1"),
        ({"width": 2.5}, "width must be an integer"),
        ({"dropout": 1.0}, "dropout must be a number in"),
    ],
)
def test_bad_arguments_end_in_a_sentence(change, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        gan(**{"input_shape": (28, 28, 1), "classes": 10, **change})
