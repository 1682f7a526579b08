"""The layer: a drop-in for `keras.layers.BatchNormalization`."""

from typing import Any

import keras

from evenbatch import replicas
from evenbatch.errors import BackendUnavailable


@keras.saving.register_keras_serializable("evenbatch")
class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Normalizes its inputs per channel: `gamma * (x - mean) / sqrt(variance + epsilon) + beta`.

    In training, mean and variance are those of the batch, and the moving statistics follow them:
    `moving = momentum * moving + (1 - momentum) * batch`, with the biased variance. In inference, and where `trainable`
    is False, mean and variance are the moving ones. Configuration, weights (gamma, beta, moving_mean, moving_variance,
    in this order) and saved files are those of Keras' layer.

    Args:
        synchronized: Whether replicas that see parts of one global batch share its statistics. True by default, where
            Keras says False: the number of devices then does not change the mathematics. On TensorFlow it works under
            `tf.distribute`; on JAX the statistics are global under sharding in either case; on PyTorch a process group
            of more than one is refused with an error, until this layer can share statistics there.
        **kwargs: Every other argument of `keras.layers.BatchNormalization`: axis, momentum, epsilon, center, scale, the
            initializers, regularizers and constraints of gamma and beta, renorm and its settings, and those of
            `keras.layers.Layer`.

    Call arguments:
        inputs: A tensor of rank 2 or more, any float dtype. float16 and bfloat16 are computed in float32.
        training: Whether batch statistics are used (True) or the moving ones (False).
        mask: A boolean tensor of the inputs' shape without the last axis; positions with False stay out of the
            statistics.

    Reference:
        Ioffe & Szegedy 2015, "Batch Normalization", algorithms 1 and 2, https://arxiv.org/abs/1502.03167
    """

    def __init__(self, *args: Any, synchronized: bool = True, **kwargs: Any) -> None:
        # Keras' constructor refuses synchronized=True off TensorFlow, so the attribute is set after it.
        super().__init__(*args, synchronized=False, **kwargs)
        self.synchronized = bool(synchronized)

    def _moments(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        """Mean and biased variance, each of shape (channels,), over this replica or over all of them."""
        shared = self.synchronized and replicas.count() > 1
        if shared and keras.backend.backend() == "torch":
            raise BackendUnavailable(
                "synchronized=True is not available across the ranks of a torch process group yet; "
                "pass synchronized=False to normalize each rank by its own statistics"
            )
        if shared or mask is not None:
            moments: tuple[Any, Any] = super()._moments(inputs, mask)
            return moments
        # Keras' synchronized moments are one-pass even on one replica, so they are asked for only where they are
        # needed.
        mean, variance = keras.ops.moments(inputs, axes=self._reduction_axes)
        return mean, variance
