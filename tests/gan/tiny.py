"""A GAN small enough for an oracle, and the oracle: NumPy in float64, written from the formulas."""

import keras
import numpy as np

import evenbatch as eb

EPSILON = 1e-3
NOISE, HIDDEN, PIXELS = 3, 4, 4


def networks(momentum=0.9):
    """Dense, the layer, relu, dense to 2×2 pixels; and dense, the layer, leaky relu, logit."""
    noise = keras.Input((NOISE,), name="noise")
    x = keras.layers.Dense(HIDDEN, use_bias=False, name="g_1")(noise)
    x = keras.layers.Activation("relu")(eb.BatchNormalization(momentum=momentum, name="g_norm")(x))
    x = keras.layers.Reshape((2, 2, 1))(keras.layers.Dense(PIXELS, name="g_2")(x))
    image = keras.Input((2, 2, 1), name="image")
    y = keras.layers.Dense(HIDDEN, use_bias=False, name="d_1")(keras.layers.Flatten()(image))
    y = keras.layers.LeakyReLU(0.2)(eb.BatchNormalization(momentum=momentum, name="d_norm")(y))
    generator, discriminator = keras.Model(noise, x), keras.Model(image, keras.layers.Dense(1, name="d_2")(y))
    rng = np.random.default_rng(3)
    for network in (generator, discriminator):
        for weight in network.trainable_variables:
            spread = rng.normal(0, 1, weight.shape)
            weight.assign(1 + 0.3 * spread if "gamma" in weight.path else spread)
    return generator, discriminator


def values(model):
    """Every weight by "layer/name", float64."""
    return {
        "/".join(weight.path.split("/")[-2:]): keras.ops.convert_to_numpy(weight).astype("float64")
        for weight in model.weights
        if "seed" not in weight.path
    }


class Oracle:
    """Losses of a step from weights as `values` gives them."""

    def __init__(self, weights, showing):
        self.weights, self.showing = weights, showing

    def losses(self, image, noise):
        """Of the discriminator and of the generator."""
        real, fake, judged = getattr(self, self.showing.replace(" ", "_"))(image.reshape(len(image), -1), noise)
        return np.mean(softplus(-real)) + np.mean(softplus(fake)), np.mean(softplus(-judged))

    def separate(self, image, noise):
        fake = self.discriminator(self.generator(noise, True), True)
        return self.discriminator(image, True), fake, fake

    def mixed(self, image, noise):
        generated = self.generator(noise, True)
        both = self.discriminator(np.concatenate([image, generated]), True)
        return both[: len(image)], both[len(image) :], self.discriminator(generated, True)

    def no_training_flag(self, image, noise):
        fake = self.discriminator(self.generator(noise, False), False)
        return self.discriminator(image, False), fake, fake

    def frozen_discriminator(self, image, noise):
        generated = self.generator(noise, True)
        real, fake = self.discriminator(image, True), self.discriminator(generated, True)
        # By then the statistics have moved by a real and a generated batch; see `moved`.
        return real, fake, self.discriminator(generated, False, self.moved(image, generated))

    def generator(self, noise, training):
        x = self.normalized("g_norm", noise @ self.weights["g_1/kernel"], training)
        return np.maximum(x, 0) @ self.weights["g_2/kernel"] + self.weights["g_2/bias"]

    def discriminator(self, image, training, statistics=None):
        y = self.normalized("d_norm", image @ self.weights["d_1/kernel"], training, statistics)
        return np.where(y > 0, y, 0.2 * y) @ self.weights["d_2/kernel"] + self.weights["d_2/bias"]

    def normalized(self, name, x, training, statistics=None):
        moving = self.weights[f"{name}/moving_mean"], self.weights[f"{name}/moving_variance"]
        mean, variance = (x.mean(0), x.var(0)) if training else statistics or moving
        x = (x - mean) / np.sqrt(variance + EPSILON)
        return x * self.weights[f"{name}/gamma"] + self.weights[f"{name}/beta"]

    def moved(self, image, generated, momentum=0.9):
        """The discriminator's moving statistics after a real and a generated batch."""
        mean, variance = self.weights["d_norm/moving_mean"], self.weights["d_norm/moving_variance"]
        for batch in (image, generated):
            x = batch @ self.weights["d_1/kernel"]
            mean = momentum * mean + (1 - momentum) * x.mean(0)
            variance = momentum * variance + (1 - momentum) * x.var(0)
        return mean, variance


def softplus(x):
    return np.logaddexp(0, x)


def gradient(loss, weights, name, step=1e-6):
    """Central differences of `loss(weights)` with respect to one weight. Statistics that moved are constants."""
    found = np.zeros_like(weights[name])
    for i in np.ndindex(found.shape):
        ends = []
        for sign in (1, -1):
            moved = weights[name].copy()
            moved[i] += sign * step
            ends.append(loss({**weights, name: moved}))
        found[i] = (ends[0] - ends[1]) / (2 * step)
    return found
