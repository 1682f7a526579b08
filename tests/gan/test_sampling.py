import keras
import numpy as np
import pytest
from tiny import networks

import evenbatch as eb
from evenbatch.errors import InvalidArgument
from evenbatch.gan import GAN, images, sampling
from evenbatch.recipes.gan import gan as recipe


@pytest.fixture(scope="module")
def trained():
    """A generator after a few steps: its moving statistics lag behind."""
    nets = recipe((28, 28, 1), 3, "batch", width=4, noise=8)
    gan = GAN(nets.generator, nets.discriminator, ema=0.5)
    gan.compile(keras.optimizers.Adam(0.01))
    gan.fit(np.random.default_rng(0).uniform(-1, 1, (64, 28, 28, 1)).astype("float32"), batch_size=16, verbose=0)
    return gan


def noise(count, seed=0, size=8):
    return np.random.default_rng(seed).standard_normal((count, size)).astype("float32")


@pytest.mark.parametrize("statistics", ["moving", "recalibrated"])
def test_the_same_noise_gives_the_same_image_in_any_company(trained, statistics):
    z = noise(40)
    among = images(trained.generator, z, statistics=statistics)
    alone = images(trained.generator, z[:1], statistics=statistics)
    others = images(trained.generator, np.concatenate([noise(39, 1), z[:1]]), statistics=statistics)
    np.testing.assert_allclose(alone[0], among[0], atol=2e-6)
    np.testing.assert_allclose(others[-1], among[0], atol=2e-6)


def test_by_batch_statistics_an_image_depends_on_its_companions(trained):
    z = noise(40)
    among = images(trained.generator, z, statistics="batch")
    others = images(trained.generator, np.concatenate([z[:1], 3 * noise(39, 1)]), statistics="batch")
    assert np.abs(among[0] - others[0]).max() > 1e-2


def test_recalibrated_images_are_those_of_a_very_large_batch(trained):
    z = noise(8192, 5)
    large = images(trained.generator, z, statistics="batch", batch_size=len(z))
    standing = images(trained.generator, z, statistics="recalibrated")
    lagging = images(trained.generator, z, statistics="moving")
    assert np.abs(standing - large).mean() < 0.01
    assert np.abs(lagging - large).mean() > 3 * np.abs(standing - large).mean()


@pytest.mark.parametrize("statistics", sampling.STATISTICS)
def test_sampling_leaves_the_generator_as_it_is(trained, statistics):
    before = [keras.ops.convert_to_numpy(weight).copy() for weight in trained.generator.weights]
    images(trained.generator, noise(20), statistics=statistics)
    for was, weight in zip(before, trained.generator.weights, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), was)


def test_trap_statistics_of_batches_of_one_are_those_of_the_population():
    """Dense, then the layer: the variance within a batch of one is 0, and that of the population is not."""
    generator, _ = networks()
    z = noise(300, size=3)
    one, many = (eb.recalibrate(generator, z, batch_size=size, verbose=False) for size in (1, 300))
    norm = one.get_layer("g_norm")
    assert float(keras.ops.min(norm.moving_variance)) > 0.01
    for mine, theirs in zip(one.weights, many.weights, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs), rtol=1e-5)


def test_trap_the_averaged_generator_wants_statistics_of_its_own(trained):
    averaged = trained.averaged_generator()
    z = noise(8192, 5)
    large = images(averaged, z, statistics="batch", batch_size=len(z))
    carried, found = images(averaged, z), images(averaged, z, statistics="recalibrated")
    assert np.abs(found - large).mean() < 0.01
    assert np.abs(carried - large).mean() > 3 * np.abs(found - large).mean()


def test_a_conditional_generator_takes_labels_and_one_class_or_all():
    generator = recipe((28, 28, 1), 3, "conditional", width=2, noise=8).generator
    z, label = sampling.drawn(generator, 7, seed=1)
    assert label.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert images(generator, z, label, statistics="recalibrated").shape == (7, 28, 28, 1)
    assert sampling.drawn(generator, 3, seed=1, label=2)[1].tolist() == [2, 2, 2]
    with pytest.raises(InvalidArgument, match="label must be a class from 0 to 2, received 3"):
        sampling.drawn(generator, 3, seed=1, label=3)
    with pytest.raises(InvalidArgument, match="label must hold a class for each of 7 rows"):
        images(generator, z)


def test_the_same_seed_is_the_same_noise():
    generator = networks()[0]
    np.testing.assert_array_equal(sampling.drawn(generator, 5, 3)[0], sampling.drawn(generator, 5, 3)[0])
    with pytest.raises(InvalidArgument, match="left out, since the generator takes no labels"):
        sampling.drawn(generator, 5, 3, label=0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"statistics": "running"}, "unknown statistics 'running'"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1"),
        ({"noise": np.zeros((4, 5))}, r"noise must have the shape \(n, 3\)"),
        ({"noise": np.zeros((0, 3))}, r"noise must have the shape \(n, 3\)"),
        ({"generator": keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])}, "generator must take noise"),
    ],
)
def test_bad_arguments_end_in_a_sentence(change, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        images(**{"generator": networks()[0], "noise": np.zeros((4, 3)), **change})
