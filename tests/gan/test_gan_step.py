"""One step of both networks, against an oracle, and the common traps: what each of them does."""

import keras
import numpy as np
import pytest
from tiny import Oracle, gradient, networks, values

import evenbatch as eb
from evenbatch.errors import InvalidArgument
from evenbatch.gan import GAN
from evenbatch.gan.showing import SHOWINGS
from evenbatch.recipes.gan import gan as recipe

ROWS, RATE = 8, 0.5


def data(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 1, (rows, 2, 2, 1)).astype("float32"), rng.normal(0, 1, (rows, 3)).astype("float32")


def stepped(showing="separate", optimizer=None, steps=1, **options):
    """A GAN before and after steps of `fit`: its networks' weights by name, and the losses of the last one."""
    generator, discriminator = networks()
    gan = GAN(generator, discriminator, step=showing, **options)
    gan.compile(optimizer or keras.optimizers.SGD(RATE))
    before = values(generator) | values(discriminator)
    image, noise = data(rows=ROWS * steps)
    history = gan.fit({"image": image, "noise": noise}, batch_size=ROWS, shuffle=False, verbose=0).history
    return gan, before, values(generator) | values(discriminator), history


@pytest.mark.parametrize("showing", SHOWINGS)
def test_each_network_moves_by_the_gradient_of_its_own_loss(showing):
    image, noise = (array.astype("float64") for array in data())
    _, before, after, history = stepped(showing)
    frozen = Oracle(before, showing)
    np.testing.assert_allclose([history["d_loss"][0], history["g_loss"][0]], frozen.losses(image, noise), rtol=1e-5)
    statistics = frozen.moved(image.reshape(ROWS, -1), frozen.generator(noise, True))

    def loss(which):
        def of(weights):
            oracle = Oracle(weights, showing)
            oracle.moved = lambda *_: statistics  # no gradient flows into moving statistics
            return oracle.losses(image, noise)[which]

        return of

    for name, weight in before.items():
        if "moving" in name:
            continue
        wanted = gradient(loss(1 if name.startswith("g_") else 0), before, name)
        np.testing.assert_allclose((weight - after[name]) / RATE, wanted, rtol=2e-3, atol=2e-5, err_msg=name)


def test_one_optimizer_does_what_two_of_the_same_settings_would():
    _, before, after, _ = stepped(optimizer=keras.optimizers.Adam(0.01, beta_1=0.5))
    image, noise = (array.astype("float64") for array in data())
    for name, weight in before.items():
        if "moving" in name:
            continue
        which = 1 if name.startswith("g_") else 0
        g = gradient(lambda weights, which=which: Oracle(weights, "separate").losses(image, noise)[which], before, name)
        # The first step of Adam, from its paper: the rate times the sign of the gradient, but for epsilon.
        sure = np.abs(g) > 1e-3
        np.testing.assert_allclose((after[name] - weight)[sure], -0.01 * np.sign(g[sure]), rtol=1e-2, err_msg=name)


def test_a_step_moves_the_generators_statistics_by_one_batch_and_the_discriminators_by_two():
    image, noise = (array.astype("float64") for array in data())
    _, before, after, _ = stepped()
    oracle = Oracle(before, "separate")
    hidden = noise @ before["g_1/kernel"]
    np.testing.assert_allclose(after["g_norm/moving_mean"], 0.1 * hidden.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["g_norm/moving_variance"], 0.9 + 0.1 * hidden.var(0), rtol=1e-4)
    mean, variance = oracle.moved(image.reshape(ROWS, -1), oracle.generator(noise, True))
    np.testing.assert_allclose(after["d_norm/moving_mean"], mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["d_norm/moving_variance"], variance, rtol=1e-4)


def test_trap_without_the_training_flag_statistics_never_move():
    _, before, after, _ = stepped("no training flag", steps=5)
    for name in before:
        if "moving" in name:
            np.testing.assert_array_equal(after[name], before[name])
    _, before, after, _ = stepped("separate", steps=5)
    assert all((after[name] != before[name]).any() for name in before if "moving" in name)


def test_trap_a_mixed_batch_tells_real_from_fake_by_itself():
    """After one normalization, N(3, 1) and N(0, 1) have means ±0.83 in a common batch, and 0 each in its own."""
    inputs = keras.Input((1,))
    normalize = keras.Model(inputs, eb.BatchNormalization(scale=False, center=False)(inputs))
    noise_in = keras.Input((1,))
    as_it_is = keras.Model(noise_in, keras.layers.Identity()(noise_in))
    rng = np.random.default_rng(0)
    real, fake = (rng.normal(mean, 1, (4096, 1)).astype("float32") for mean in (3, 0))
    real, fake = keras.ops.convert_to_tensor(real), keras.ops.convert_to_tensor(fake)
    apart = SHOWINGS["separate"](as_it_is, normalize, real, fake, None)
    together = SHOWINGS["mixed"](as_it_is, normalize, real, fake, None)
    means = [float(keras.ops.mean(logit)) for logit in (apart.real, apart.fake, together.real, together.fake)]
    expected = 1.5 / np.sqrt(1 + 1.5**2)
    np.testing.assert_allclose(means, [0, 0, expected, -expected], atol=0.03)


def test_trap_a_frozen_discriminator_judges_as_one_with_trainable_false():
    """What the classic combined model does: batch statistics are gone even with training=True."""
    generator, discriminator = networks()
    image, noise = map(keras.ops.convert_to_tensor, data())
    generated = generator(noise, training=True)
    shown = SHOWINGS["frozen discriminator"](generator, discriminator, image, noise, None)
    discriminator.trainable = False
    as_trained = keras.ops.convert_to_numpy(discriminator(generated, training=True))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(shown.judged), as_trained, rtol=1e-5, atol=1e-5)
    assert np.abs(keras.ops.convert_to_numpy(shown.fake) - as_trained).max() > 0.1


@pytest.mark.parametrize(("normalize", "depends"), [("batch", True), ("group", False), ("none", False)])
def test_trap_a_logit_depends_on_other_images_so_that_no_penalty_of_an_image_by_itself_is_defined(normalize, depends):
    critic = recipe((28, 28, 1), 3, normalize, width=4).discriminator
    images = np.random.default_rng(0).uniform(-1, 1, (4, 28, 28, 1)).astype("float32")
    before = keras.ops.convert_to_numpy(critic(images, training=True))
    images[0] = -images[0]
    after = keras.ops.convert_to_numpy(critic(images, training=True))
    assert (np.abs(after - before)[1:].max() > 1e-4) == depends


def test_the_average_is_the_mean_of_the_first_steps_and_then_moves_slowly():
    generator, discriminator = networks()
    gan = GAN(generator, discriminator, ema=0.5)
    gan.compile(keras.optimizers.SGD(RATE))
    image, noise = data()
    seen = []
    for _ in range(3):
        gan.fit({"image": image, "noise": noise}, batch_size=ROWS, verbose=0)
        seen.append([keras.ops.convert_to_numpy(w).copy() for w in generator.trainable_variables])
    averaged = gan.averaged_generator().trainable_variables
    for average, first, second, third in zip(averaged, *seen, strict=True):
        wanted = ((first + second) / 2 + third) / 2
        np.testing.assert_allclose(keras.ops.convert_to_numpy(average), wanted, rtol=1e-5, atol=1e-6)


def test_an_average_that_was_not_kept_is_an_error():
    with pytest.raises(InvalidArgument, match="ema must be given"):
        GAN(*networks()).averaged_generator()


def test_noise_is_drawn_where_none_is_given_and_predict_gives_images():
    gan = GAN(*networks())
    gan.compile()
    image, noise = data(rows=32)
    history = gan.fit(image, batch_size=ROWS, epochs=2, verbose=0).history
    assert history.keys() == {"d_loss", "g_loss"}
    assert gan.predict(noise, verbose=0).shape == (32, 2, 2, 1)


def test_it_is_saved_and_loaded_with_both_networks(tmp_path):
    gan, _, _, _ = stepped(ema=0.9)
    gan.save(tmp_path / "gan.keras")
    again = keras.models.load_model(tmp_path / "gan.keras")
    assert (again.step, again.ema) == ("separate", 0.9)
    noise = data()[1]
    np.testing.assert_array_equal(again.predict(noise, verbose=0), gan.predict(noise, verbose=0))
    for mine, theirs in zip(again.averages, gan.averages, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": "both"}, "unknown step 'both'"),
        ({"ema": 1.0}, r"ema must be a number in \[0, 1\)"),
        ({"ema": True}, "ema must be"),
    ],
)
def test_bad_arguments_end_in_a_sentence(change, sentence):
    with pytest.raises(InvalidArgument, match=sentence):
        GAN(*networks(), **change)


def test_networks_that_do_not_fit_are_refused():
    generator, discriminator = networks()
    with pytest.raises(InvalidArgument, match="discriminator must take the generator's images"):
        GAN(generator, generator)
    with pytest.raises(InvalidArgument, match="generator must be a built Keras model"):
        GAN(keras.Sequential([keras.layers.Dense(3)]), discriminator)


def test_labels_that_are_missing_are_named():
    nets = recipe((28, 28, 1), 3, "conditional", width=2)
    gan = GAN(nets.generator, nets.discriminator)
    gan.compile(run_eagerly=keras.backend.backend() != "jax")
    with pytest.raises(InvalidArgument, match="fit must be given labels"):
        gan.fit(np.zeros((4, 28, 28, 1), "float32"), batch_size=4, verbose=0)


def fitted(gan, rows=ROWS, epochs=1):
    """A GAN after some steps on the usual data."""
    image, noise = data(rows=rows)
    gan.fit({"image": image, "noise": noise}, batch_size=ROWS, epochs=epochs, shuffle=False, verbose=0)
    return gan


def test_sequential_networks_are_taken():
    generator, discriminator = networks()
    gan = GAN(keras.Sequential(generator.layers), keras.Sequential(discriminator.layers))
    gan.compile(keras.optimizers.SGD(RATE))
    fitted(gan)
    _, _, after, _ = stepped()
    for name, value in (values(generator) | values(discriminator)).items():
        np.testing.assert_allclose(value, after[name], rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_scaled_for_float16_moves_weights_as_far():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(RATE), initial_scale=2.0**10)
    _, _, plain, _ = stepped()
    _, _, after, _ = stepped(optimizer=scaled)
    for name, value in plain.items():
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


def test_penalties_of_a_network_move_it_and_are_no_part_of_the_reported_loss():
    gan, before, plain, history = stepped()
    generator, discriminator = networks()
    for network, name in ((generator, "g_1"), (discriminator, "d_1")):
        network.get_layer(name).kernel.regularizer = keras.regularizers.L2(0.1)
    gan = GAN(generator, discriminator)
    gan.compile(keras.optimizers.SGD(RATE))
    image, noise = data()
    found = gan.fit({"image": image, "noise": noise}, batch_size=ROWS, shuffle=False, verbose=0).history
    np.testing.assert_allclose(found["d_loss"], history["d_loss"], rtol=1e-6)
    after = values(generator) | values(discriminator)
    for name in ("g_1/kernel", "d_1/kernel"):
        np.testing.assert_allclose(after[name], plain[name] - RATE * 0.2 * before[name], rtol=1e-4, atol=1e-5)


def test_the_average_outlives_a_second_compile_and_counts_steps_not_updates():
    gan = GAN(*networks(), ema=0.9)
    gan.compile(keras.optimizers.SGD(RATE))
    fitted(gan, rows=4 * ROWS)
    average = keras.ops.convert_to_numpy(gan.averages[0]).copy()
    gan.compile(keras.optimizers.SGD(RATE, gradient_accumulation_steps=2))
    fitted(gan)
    weight = keras.ops.convert_to_numpy(gan.generator.trainable_variables[0])
    wanted = average + (weight - average) / 5
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gan.averages[0]), wanted, rtol=1e-4, atol=1e-6)


def test_a_network_that_is_held_still_stays():
    generator, discriminator = networks()
    discriminator.trainable = False
    gan = GAN(generator, discriminator)
    gan.compile(keras.optimizers.SGD(RATE))
    before = values(generator) | values(discriminator)
    fitted(gan)
    after = values(generator) | values(discriminator)
    assert all((after[name] == before[name]).all() for name in before if name.startswith("d_"))
    assert (after["g_2/kernel"] != before["g_2/kernel"]).any()


def test_one_that_is_not_compiled_is_saved_too(tmp_path):
    GAN(*networks()).save(tmp_path / "gan.keras")
    assert not keras.models.load_model(tmp_path / "gan.keras").compiled


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda gan, x: gan.fit(x, x, sample_weight=np.ones(len(x)), verbose=0), "takes no sample_weight"),
        (
            lambda gan, x: gan.fit((127 * x).astype("uint8"), verbose=0),
            r"images must be numbers in \[-1, 1\], received",
        ),
        (lambda gan, x: gan.fit({"images": x}, verbose=0), r"received \['images'\]"),
        (lambda gan, x: gan.evaluate(x, verbose=0), "evaluate are not for a GAN"),
        (lambda gan, x: gan.compile(loss="mse"), "compile takes optimizer, .*received loss"),
    ],
)
def test_what_a_gan_cannot_do_ends_in_a_sentence(call, sentence):
    gan = GAN(*networks())
    gan.compile(run_eagerly=keras.backend.backend() != "jax")
    with pytest.raises(InvalidArgument, match=sentence):
        call(gan, np.ones((4, 2, 2, 1), "float32"))


def test_more_than_one_logit_and_more_than_one_output_are_refused():
    generator, discriminator = networks()
    two = keras.Model(discriminator.inputs, [discriminator.output, discriminator.output])
    with pytest.raises(InvalidArgument, match="of one output"):
        GAN(generator, two)
    wide = keras.Model(discriminator.inputs, keras.layers.Dense(2)(discriminator.output))
    with pytest.raises(InvalidArgument, match="must give one logit"):
        GAN(generator, wide)
