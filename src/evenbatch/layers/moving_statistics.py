"""What the layers of this package have in common: moving statistics that follow batches, and how they are kept."""

from typing import Any

import keras
from keras import ops

from evenbatch import kernels, sharing
from evenbatch.errors import InvalidArgument
from evenbatch.kernels import Statistics
from evenbatch.layers.arguments import (
    require_axis,
    require_channels,
    require_epsilon,
    require_mask,
    require_momentum,
)
from evenbatch.sharing import Peers


class MovingStatistics(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Abstract: a batch normalization whose moving statistics follow what its batches tell.

    A layer upon it says in `_train` how a batch is normalized in training. It is an instance of Keras' layer, so that
    code which looks for those, to freeze them for example, finds it.

    Args:
        axis: The axis of the channels.
        momentum: The share of the moving statistics that stays when a batch is seen, from 0 to 1.
        epsilon: What is added to the variance, at least 0.
        *args: Further arguments in the order of `keras.layers.BatchNormalization`.
        debias: Whether the moving statistics forget their initial values.
        **kwargs: Every other argument of `keras.layers.BatchNormalization` but `synchronized`.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *args: Any,
        debias: bool = False,
        **kwargs: Any,
    ) -> None:
        # Keras' constructor refuses synchronized=True off TensorFlow, so a layer sets the attribute after it.
        super().__init__(
            require_axis(axis),
            require_momentum(momentum),
            require_epsilon(epsilon),
            *args,
            synchronized=False,
            **kwargs,
        )
        self.debias = bool(debias)
        self.moving_weight: Any = None

    def build(self, input_shape: Any) -> None:
        """Creates the weights for inputs of this shape."""
        require_channels(input_shape, self.axis)
        super().build(input_shape)
        if self.debias:
            # Last, so that the list of weights begins as that of Keras' layer.
            self.moving_weight = self.add_weight(
                shape=(2,),
                name="moving_weight",
                initializer="zeros",
                dtype="float64" if self.variable_dtype == "float64" else "float32",
                trainable=False,
                autocast=False,
            )

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes, in training by the statistics of the batch, which the moving ones then follow."""
        x, mask = self._checked(inputs, mask)
        y = self._train(x, mask) if training and self.trainable else self._infer(x, *self._gamma_and_beta())
        return ops.cast(y, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The arguments. `debias` is among them where it is set, so that Keras' layer reads the others."""
        config: dict[str, Any] = super().get_config()
        return {**config, "debias": True} if self.debias else config

    def save_own_variables(self, store: Any) -> None:
        """Saves as Keras' layer does, and `moving_weight` under its name, so that a file tells what it holds."""
        for i, variable in enumerate(self._weights_of_keras()):
            store[str(i)] = variable
        if self.debias:
            store["moving_weight"] = self.moving_weight

    def load_own_variables(self, store: Any) -> None:
        """Loads from a file, be it of this layer, of Keras' or of this one with another `debias`.

        Raises:
            InvalidArgument: the file holds other weights.
        """
        if not self.built:
            super().load_own_variables(store)  # says so
            return
        expected, names = self._weights_of_keras(), {*store.keys()}
        if names - {"moving_weight"} != {str(i) for i in range(len(expected))}:
            raise InvalidArgument(
                f"the layer {self.name!r} expects {len(expected)} weights, {', '.join(w.name for w in expected)}, and "
                f"received a file with {len(names)}; give it the center, scale and renorm of the layer that was saved"
            )
        for i, variable in enumerate(expected):
            variable.assign(store[str(i)])
        if self.debias:
            self.moving_weight.assign(store["moving_weight"] if "moving_weight" in names else ops.ones((2,)))

    def rematerialized_call(self, layer_call: Any, *args: Any, **kwargs: Any) -> Any:
        """The call as it is, also under `keras.RematScope`.

        Of its inputs the gradient keeps nothing but the inputs themselves, and computed again, the layer would follow
        each batch twice.
        """
        return layer_call

    def _train(self, x: Any, mask: Any) -> Any:
        """The batch normalized in training; the moving statistics have followed it."""
        raise NotImplementedError

    def _infer(self, x: Any, gamma: Any, beta: Any) -> Any:
        """The batch normalized by the moving statistics."""
        moving = self.moving_mean.value, self.moving_variance.value
        return kernels.inference(x, *moving, gamma, beta, self.axis, self.epsilon)

    def _normalize_batch(self, x: Any, mask: Any, gamma: Any, beta: Any) -> Any:
        """The batch normalized by its own statistics, which the moving ones have followed."""
        peers = sharing.found(self)
        if mask is None and (peers is None or not self.synchronized):
            y, own = kernels.normalize_batch(x, gamma, beta, self.axis, self.epsilon)
            self._follow(self._of_all(own, peers))
            return y
        x = self._widened(x)
        batch, followed = self._statistics(x, mask, peers)
        self._follow(followed)
        return kernels.normalize(x, batch.mean, batch.variance, gamma, beta, self.axis, self.epsilon)

    def _checked(self, x: Any, mask: Any) -> tuple[Any, Any]:
        """Floating-point inputs, and a mask that fits them."""
        if mask is not None:
            mask = mask if hasattr(mask, "shape") else ops.convert_to_tensor(mask)
            require_mask(mask.shape, x.shape, self.axis)
        return x if keras.backend.is_float_dtype(x.dtype) else ops.cast(x, "float32"), mask

    def _weights_of_keras(self) -> list[Any]:
        own = [*self._trainable_variables, *self._non_trainable_variables]  # and not those of layers within a subclass
        return [weight for weight in own if weight is not self.moving_weight]

    def _gamma_and_beta(self) -> tuple[Any, Any]:
        return self.gamma.value if self.scale else None, self.beta.value if self.center else None

    def _widened(self, x: Any) -> Any:
        """`x` in the dtype of its statistics: where it is used twice, its gradients are then added in that dtype."""
        # Not Keras' result_type, for which float64 and float32 make float32.
        return x if keras.backend.standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")

    def _statistics(self, x: Any, mask: Any, peers: Peers | None) -> tuple[Statistics, Statistics]:
        """The statistics that normalize this batch, and those that the moving ones follow."""
        own = kernels.moments(x, self.axis) if mask is None else kernels.masked_moments(x, mask, self.axis)
        followed = self._of_all(own, peers)
        return (peers.handed_on(followed) if peers and self.synchronized else own), followed

    def _of_all(self, own: Statistics, peers: Peers | None) -> Statistics:
        """The statistics of the global batch, of which this replica has seen a part."""
        return own if peers is None else peers.merged(own)

    def _follow(self, batch: Statistics) -> None:
        """Moves the moving statistics towards the batch's, as far as the batch tells of them."""
        known = self._known(batch)
        rates = self._corrected_rates(known) if self.debias else [self._rate(one, batch.mean.dtype) for one in known]
        for moving, value, one, rate in zip(
            (self.moving_mean, self.moving_variance), (batch.mean, batch.variance), known, rates, strict=True
        ):
            if one is not False:
                share = ops.cast(rate, value.dtype) if ops.is_tensor(rate) else rate
                moving.assign(ops.cast(moving.value, value.dtype) * (1 - share) + value * share)

    def _known(self, batch: Statistics) -> list[Any]:
        """Whether the batch tells of the mean and of the variance: one value has a mean, but no variance.

        Truth values where the shape tells, else tensors.
        """
        known = (batch.count > 0, batch.count > 1)
        # A branch and not bool(), which torch.compile leaves as symbolic as the size.
        return [one if ops.is_tensor(one) else (True if one else False) for one in known]  # noqa: SIM210

    def _rate(self, known: Any, dtype: Any) -> Any:
        """By how much of the difference a moving statistic moves."""
        return (1 - self.momentum) * (ops.cast(known, dtype) if ops.is_tensor(known) else known)

    def _corrected_rates(self, known: list[Any]) -> list[Any]:
        """The rates that make the moving statistics weighted means of batches alone.

        After t batches those have the weight `1 - momentum ** t` in all, by which Adam divides. Here the newest batch
        is given its share of that weight instead, so that the moving statistics are right as they are stored.
        """
        dtype = self.moving_weight.dtype
        shares = ops.stack([ops.cast(self._rate(one, dtype), dtype) for one in known])
        weights = self.moving_weight + shares * (1 - self.moving_weight)
        self.moving_weight.assign(weights)
        rates = shares / ops.where(weights > 0, weights, 1.0)
        return [rates[0], rates[1]]
