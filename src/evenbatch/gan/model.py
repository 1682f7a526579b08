"""A generator and a discriminator as one Keras model that `fit` trains."""

from typing import Any

import keras
from keras import ops

from evenbatch import graph
from evenbatch.errors import InvalidArgument, require_share, unknown
from evenbatch.gan.showing import SHOWINGS
from evenbatch.gan.steps import Steps
from evenbatch.surgery.rebuild import rebuild

LEARNING_RATE, BETA_1 = 1e-4, 0.5
COMPILE_OPTIONS = ("run_eagerly", "jit_compile", "steps_per_execution", "auto_scale_loss")


@keras.saving.register_keras_serializable("evenbatch")
class GAN(Steps, keras.Model):  # type: ignore[misc]
    """A generator and a discriminator, trained together by `fit`, each with its own loss and its own variables.

    A step generates a batch, shows the discriminator real and generated images, takes the gradient of each loss with
    respect to the variables of its own network, both at the same weights, and applies both. Losses are binary
    cross-entropies from logits; the generator's is the one that does not saturate. No step of one network moves the
    moving statistics of the other: a generator's batch normalization has seen one batch more after a step, a
    discriminator's one real and one generated.

    ::

        gan = GAN(generator, discriminator)
        gan.compile()
        gan.fit(images, batch_size=256, epochs=100)
        gan.predict(noise)                             # images, by moving statistics

    `fit` takes images, float32 of shape (n, height, width, channels) in [-1, 1]; with networks that take labels,
    (images, labels); or dicts with `image`, `label` and `noise`, shape (n, noise), for whoever draws the noise. On
    several replicas pass the noise: drawn within the step it is the same on each of them.

    Args:
        generator: A built model of one input, (n, noise), or of two, [noise, label].
        discriminator: A built model that gives logits of shape (n, 1) for its images, or for [image, label].
        step: How real and generated images are shown to the discriminator: "separate". "mixed", "no training flag" and
            "frozen discriminator" are traps, there to be compared.
        ema: Where given, an average over the generator's weights is kept, of which each step leaves this share, in
            [0, 1). See `averaged_generator`.
        **options: Those of `keras.Model`.

    Raises:
        InvalidArgument: an argument is outside what is allowed.

    Reference:
        Goodfellow et al. 2014, "Generative adversarial nets", algorithm 1 and section 3, https://arxiv.org/abs/1406.2661.
    """

    def __init__(
        self,
        generator: Any,
        discriminator: Any,
        *,
        step: str = "separate",
        ema: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if step not in SHOWINGS:
            raise unknown("step", step, SHOWINGS)
        _require_networks(generator, discriminator)
        self.generator, self.discriminator = generator, discriminator
        self.step, self.ema = step, None if ema is None else require_share("ema", ema)
        self.noise = int(generator.inputs[0].shape[-1])
        self.takes_labels = len(generator.inputs) == 2
        self.seeds = keras.random.SeedGenerator()
        self.d_loss, self.g_loss = keras.metrics.Mean("d_loss"), keras.metrics.Mean("g_loss")
        self.averages = [self._average_of(weight) for weight in generator.trainable_variables if ema is not None]
        # Not the optimizer's count: that starts anew with every compile, and counts updates, which may be fewer.
        self.steps = None if ema is None else self._count("steps")
        self.built = True

    def _count(self, name: str) -> Any:
        return self.add_weight((), "zeros", "int32", trainable=False, aggregation="only_first_replica", name=name)

    def _average_of(self, weight: Any) -> Any:
        average = self.add_weight(
            weight.shape,
            "zeros",
            weight.dtype,
            trainable=False,
            aggregation="only_first_replica",
            name=f"average_of_{weight.path.replace('/', '_')}",
        )
        graph.carry_value(weight, average)
        return average

    def compile(self, optimizer: Any = None, **options: Any) -> None:
        """As Keras' own, without loss and metrics.

        Args:
            optimizer: One optimizer for the variables of both networks: two of the same settings would do the same. By
                default Adam with a learning rate of 1e-4 and beta_1 of 0.5.
            **options: `run_eagerly`, `jit_compile`, `steps_per_execution`, `auto_scale_loss`.

        Raises:
            InvalidArgument: there is another option, such as a loss.
        """
        if optimizer is None:
            optimizer = keras.optimizers.Adam(LEARNING_RATE, beta_1=BETA_1)
        strange = sorted(set(options) - set(COMPILE_OPTIONS))
        if strange:
            raise InvalidArgument(
                f"compile takes optimizer, {', '.join(COMPILE_OPTIONS)}, received {', '.join(strange)}; its losses "
                "are its own"
            )
        self._compile_options = options
        super().compile(optimizer=optimizer, **options)

    @property
    def metrics(self) -> list[Any]:
        """The two losses, and not the one that Keras keeps for models of one loss."""
        return [self.d_loss, self.g_loss]

    def test_step(self, *_: Any) -> Any:
        """There is nothing to evaluate by: a loss of one network says nothing without the other.

        Raises:
            InvalidArgument: always.
        """
        raise InvalidArgument(
            "validation_data and evaluate are not for a GAN, whose losses say nothing of its images; leave them out, "
            "and compare images with evenbatch.gan.yardstick"
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The images that the generator makes of noise, or of [noise, label]."""
        return self.generator(inputs, training=training)

    def losses_of(self, image: Any, noise: Any, label: Any | None) -> tuple[Any, Any]:
        """The discriminator's cross-entropy and the generator's, means over the batch."""
        logits = SHOWINGS[self.step](self.generator, self.discriminator, image, noise, label)
        # Of a logit x, the cross-entropy is softplus(-x) where it should say "real", softplus(x) where it should not.
        on_real, on_fake = ops.mean(ops.softplus(-logits.real)), ops.mean(ops.softplus(logits.fake))
        return on_real + on_fake, ops.mean(ops.softplus(-logits.judged))

    def minimized(self, d_loss: Any, g_loss: Any) -> tuple[Any, Any]:
        """What each network is to make small: its cross-entropy, and the penalties on its own weights, such as L2."""
        return d_loss + sum(self.discriminator.losses), g_loss + sum(self.generator.losses)

    def batch(self, data: Any) -> tuple[Any, Any, Any | None]:
        """Images, noise and labels of what `fit` was given."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not isinstance(x, dict):
            x = {"image": x, "label": y}
        _require_images(x, weight)
        image, label = x["image"], x.get("label")
        if self.takes_labels and label is None:
            raise InvalidArgument(
                "fit must be given labels, which the networks take, received images alone; call fit(images, labels)"
            )
        noise = x.get("noise")
        if noise is None:
            noise = keras.random.normal((ops.shape(image)[0], self.noise), seed=self.seeds)
        label = ops.reshape(ops.cast(label, "int32"), (-1,)) if self.takes_labels else None
        return ops.cast(image, self.compute_dtype), noise, label

    def after_step(self, d_loss: Any, g_loss: Any) -> None:
        """Takes note of a step that was taken: its losses, and the average over the generator's weights."""
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        if self.ema is not None and self.steps is not None:
            # The plain mean of the first steps, so that the initial weights leave no trace.
            self.steps.assign(self.steps + 1)
            share = ops.maximum(1.0 - self.ema, 1.0 / ops.cast(self.steps, "float32"))
            for average, weight in zip(self.averages, self.generator.trainable_variables, strict=True):
                average.assign(average + ops.cast(share, average.dtype) * (weight - average))

    def averaged_generator(self) -> Any:
        """A generator with the average over the weights; its moving statistics are the trained one's.

        Those are not the statistics of the averaged weights, nor would their average be: `eb.recalibrate` finds them.

        Raises:
            InvalidArgument: no average was kept.
        """
        if self.ema is None:
            raise InvalidArgument("ema must be given for an averaged generator, received none; GAN(…, ema=0.999)")
        model = rebuild(self.generator, lambda _: None).model
        for variable, average in zip(model.trainable_variables, self.averages, strict=True):
            graph.carry_value(average, variable)
        return model

    def get_config(self) -> dict[str, Any]:
        """What makes it again: both networks and the settings."""
        networks = {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
        }
        return {**super().get_config(), **networks, "step": self.step, "ema": self.ema}

    def get_compile_config(self) -> dict[str, Any] | None:
        """What `compile` was called with, for a file."""
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer), **self._compile_options}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles it again, with an optimizer that is ready for its saved state."""
        self.compile(**{**config, "optimizer": keras.saving.deserialize_keras_object(config["optimizer"])})
        self.optimizer.build(self.trainable_variables)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "GAN":
        """Makes it again."""
        networks = {
            name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")
        }
        return cls(**{**config, **networks})


def _require_networks(generator: Any, discriminator: Any) -> None:
    for name, network in (("generator", generator), ("discriminator", discriminator)):
        inputs, outputs = (len(getattr(network, side, None) or ()) for side in ("inputs", "outputs"))
        if not isinstance(network, keras.Model) or inputs not in (1, 2) or outputs != 1:
            raise InvalidArgument(
                f"{name} must be a built Keras model of one output and of one input, or of two with labels, received "
                f"{network!r} with {inputs} inputs and {outputs} outputs"
            )
    if len(generator.inputs) != len(discriminator.inputs):
        raise InvalidArgument("generator and discriminator must both take labels, or neither; received one that does")
    made, judged = generator.outputs[0].shape[1:], discriminator.inputs[0].shape[1:]
    if made != judged:
        raise InvalidArgument(
            f"discriminator must take the generator's images, of shape {made}, received one for {judged}"
        )
    if discriminator.outputs[0].shape[1:] != (1,):
        raise InvalidArgument(
            f"discriminator must give one logit, of shape (n, 1), received one of {discriminator.outputs[0].shape}"
        )


def _require_images(x: dict[str, Any], weight: Any) -> None:
    if "image" not in x or x.keys() - {"image", "label", "noise"}:
        raise InvalidArgument(
            f"fit must be given image, label and noise where it is given a dict, received {sorted(x)}"
        )
    if weight is not None:
        raise InvalidArgument("fit of a GAN takes no sample_weight; leave it out")
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x["image"].dtype)):
        raise InvalidArgument(
            f"images must be numbers in [-1, 1], received {keras.backend.standardize_dtype(x['image'].dtype)}; pass "
            "images / 127.5 - 1"
        )
