"""Batch normalization by slices of the batch, for large batches that shall be regularized as small ones are."""

from typing import Any

import keras

from evenbatch import kernels, sharing
from evenbatch.layers.arguments import refuse, require_batch_in_front, require_slice_size
from evenbatch.layers.moving_statistics import MovingStatistics

_NOT_TAKEN = {
    "synchronized": "its statistics are those of slices, which no other replica sees a part of",
    **dict.fromkeys(
        ("renorm", "renorm_clipping", "renorm_momentum"), "which takes the statistics of slices without corrections"
    ),
}


@keras.saving.register_keras_serializable("evenbatch")
class GhostBatchNormalization(MovingStatistics):
    """Batch normalization in which, in training, each slice of the batch is normalized by its own statistics.

    The batch is cut along its first axis into slices of `virtual_batch_size` rows that follow each other. What is left
    over belongs to the last slice, which so has up to `2 * virtual_batch_size - 1` rows: none has fewer than
    `virtual_batch_size`, unless the whole batch does, which then is one slice. So a large batch keeps the noise of the
    statistics of small ones. Gamma and beta are shared by all slices.

    The moving statistics follow, once a batch, those of all its values: the slices' own, merged and weighted by what
    they count. (Hoffer et al. follow slice after slice, which weighs the last ones more and leaves the differences
    between the slices' means out of the variance; inference wants the statistics of the population.) In inference,
    and where `trainable` is False, it is the layer `evenbatch.BatchNormalization`, and its weights are those: gamma,
    beta, moving_mean, moving_variance.

    Each replica cuts the part of a batch that it sees: no slice lies on two of them. The moving statistics follow the
    global batch, as in `evenbatch.BatchNormalization`. (On JAX, under `jit` and sharding, the global batch is cut.)

    Args:
        virtual_batch_size: The rows of a slice, an integer of at least 2.
        axis: The axis of the channels, an integer: -1 for channels last, 1 for channels first. Not the first axis.
        momentum: The share of the moving statistics that stays when a batch is seen, from 0 to 1.
        epsilon: What is added to the variance, at least 0.
        debias: Whether the moving statistics forget their initial values, as in `evenbatch.BatchNormalization`.
        **kwargs: center, scale, the initializers, regularizers and constraints of gamma and beta, as in
            `keras.layers.BatchNormalization`, and the arguments of `keras.layers.Layer`. There is no `synchronized` and
            no `renorm`.

    Call arguments:
        inputs: A tensor of rank 2 or more, the batch in front. float16 and bfloat16 are computed in float32, integers
            are cast to it.
        training: Whether the statistics of slices are used (True) or the moving ones (False).
        mask: A boolean tensor of the inputs' shape without the axis of the channels, or one that broadcasts to it;
            positions with False stay out of the statistics. A slice in which all are False weighs nothing.

    Returns:
        A tensor of the inputs' shape in the layer's compute dtype.

    Raises:
        InvalidArgument: An argument is outside what is allowed or none of this layer's, or the inputs' shape does not
            fit: fewer than two axes, `axis` out of range or the first, an unknown number of channels, or a mask of
            another shape.

    Reference:
        Hoffer, Hubara & Soudry 2017, "Train longer, generalize better", algorithm 1,
        https://arxiv.org/abs/1705.08741.
    """

    def __init__(
        self,
        virtual_batch_size: int = 32,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        debias: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse(kwargs, _NOT_TAKEN)
        super().__init__(axis, momentum, epsilon, debias=debias, **kwargs)
        self.virtual_batch_size = require_slice_size(virtual_batch_size)

    def build(self, input_shape: Any) -> None:
        """Creates the weights for inputs of this shape."""
        super().build(input_shape)
        require_batch_in_front(input_shape, self.axis, "along which the batch is cut into slices")

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {name: value for name, value in super().get_config().items() if name not in _NOT_TAKEN}
        return {"virtual_batch_size": self.virtual_batch_size, **config}

    def _train(self, x: Any, mask: Any) -> Any:
        arguments = *self._gamma_and_beta(), self.axis, self.epsilon, self.virtual_batch_size
        if mask is None:
            y, slices = kernels.normalize_slices(x, *arguments)
        else:
            y, slices = kernels.normalize_masked_slices(self._widened(x), mask, *arguments)
        self._follow(self._of_all(kernels.merged(slices), sharing.found(self)))
        return y
