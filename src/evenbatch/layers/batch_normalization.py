"""The layer: a drop-in for `keras.layers.BatchNormalization`."""

from typing import Any

import keras
from keras import ops

from evenbatch import kernels, sharing
from evenbatch.errors import InvalidArgument
from evenbatch.layers.moving_statistics import MovingStatistics


@keras.saving.register_keras_serializable("evenbatch")
class BatchNormalization(MovingStatistics):
    """Normalizes its inputs per channel: `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    In training, mean and variance are those of the batch, and the moving statistics follow them:
    `moving = momentum * moving + (1 - momentum) * batch`, with the biased variance. In inference, and where `trainable`
    is False, mean and variance are the moving ones. Configuration, weights (gamma, beta, moving_mean, moving_variance,
    in this order) and saved files are those of Keras' layer, and so are its numbers, up to rounding.

    It differs where Keras' numbers are of no use: a batch without values leaves the moving statistics alone, one value
    per channel leaves the moving variance alone, inputs whose mean is far from 0 are normalized more exactly,
    and second derivatives are those of the formula.

    Args:
        axis: The axis of the channels, an integer: -1 for channels last, 1 for channels first.
        momentum: The share of the moving statistics that stays when a batch is seen, from 0 to 1.
        epsilon: What is added to the variance, at least 0.
        *args: Further arguments in the order of `keras.layers.BatchNormalization`.
        synchronized: Whether replicas that see parts of one global batch are normalized by its statistics. True by
            default, where Keras says False: the number of devices then does not change the mathematics. With False
            each replica normalizes by the statistics of its own part. In either case the moving statistics follow those
            of the global batch and are the same on every replica. Replicas are found by themselves under
            `tf.distribute` and in torch's default process group; for others see `evenbatch.replicas`. On JAX, under
            `jit` and sharding, a function sees the global batch, and its statistics are global with False, too.
        debias: Whether the moving statistics forget their initial values: they are then, after every step, the
            weighted mean of the batches seen so far, and a few steps suffice for inference. With False, as in Keras,
            the initial value keeps the weight `momentum ** steps`: 37 % after 100 steps with 0.99. It adds one weight,
            the last, of shape (2,): how much of the moving mean and variance comes from batches. Files without it,
            such as those of Keras' layer, load, and their statistics count as complete. Not with `renorm`.
        **kwargs: Every other argument of `keras.layers.BatchNormalization`: center, scale, the initializers,
            regularizers and constraints of gamma and beta, renorm and its settings, and those of `keras.layers.Layer`.

    Call arguments:
        inputs: A tensor of rank 2 or more. float16 and bfloat16 are computed in float32, integers are cast to it.
        training: Whether batch statistics are used (True) or the moving ones (False).
        mask: A boolean tensor of the inputs' shape without the axis of the channels, or one that broadcasts to it;
            positions with False stay out of the statistics. Where all are False, nothing changes but the outputs.

    Returns:
        A tensor of the inputs' shape in the layer's compute dtype.

    Raises:
        InvalidArgument: An argument is outside what is allowed, or the inputs' shape does not fit: fewer than two
            axes, `axis` out of range, an unknown number of channels, or a mask of another shape.
        SharingFailed: Replicas could not exchange their statistics.

    Reference:
        Ioffe & Szegedy 2015, "Batch Normalization", algorithms 1 and 2, https://arxiv.org/abs/1502.03167.
        `debias`: Kingma & Ba 2015, "Adam", section 3, https://arxiv.org/abs/1412.6980.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *args: Any,
        synchronized: bool = True,
        debias: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(axis, momentum, epsilon, *args, debias=debias, **kwargs)
        self.synchronized = bool(synchronized)
        if self.debias and self.renorm:
            raise InvalidArgument("debias=True must not be combined with renorm=True; pass one of them")

    def _train(self, x: Any, mask: Any) -> Any:
        return self._renormalize(x, mask) if self.renorm else self._normalize_batch(x, mask, *self._gamma_and_beta())

    def _renormalize(self, x: Any, mask: Any) -> Any:
        """Batch renormalization by Keras' corrections, Ioffe 2017, https://arxiv.org/abs/1702.03275."""
        x = self._widened(x)
        batch, followed = self._statistics(x, mask, sharing.found(self))
        r, d, mean, variance = self._renorm_correction_and_moments(batch.mean, batch.variance)
        gamma, beta = self._compose_transforms(r, d, *self._gamma_and_beta(), mean.dtype)
        y = kernels.normalize(x, mean, variance, gamma, beta, self.axis, self.epsilon)
        _, has_variance = self._known(followed)
        if has_variance is True:
            self._update_renorm_statistics(followed.mean, followed.variance)
        elif has_variance is not False:
            followers = self.non_trainable_variables
            before = [ops.copy(variable) for variable in followers]
            self._update_renorm_statistics(followed.mean, followed.variance)
            for variable, old in zip(followers, before, strict=True):
                variable.assign(ops.where(has_variance, ops.copy(variable), old))
        return y
