"""Batch normalization with a gamma and a beta for each class, as class-conditional generators want it."""

import math
import operator
from typing import Any

import keras
from keras import ops

from evenbatch.errors import require_count
from evenbatch.layers.arguments import refuse, require_batch_in_front, require_same_channels
from evenbatch.layers.labels import (
    require_in_range,
    require_labels,
    require_pair,
    require_pair_of_shapes,
    require_shape_of_labels,
    widened,
)
from evenbatch.layers.moving_statistics import MovingStatistics

_NOT_TAKEN = dict.fromkeys(
    ("renorm", "renorm_clipping", "renorm_momentum"), "which has no corrections that hold for every class"
)


@keras.saving.register_keras_serializable("evenbatch")
class ConditionalBatchNormalization(MovingStatistics):
    """Batch normalization whose gamma and beta depend on the class: `layer([x, labels])`.

    Each row of `x` is normalized as `evenbatch.BatchNormalization` does, by the statistics of the whole batch in
    training and by the moving ones in inference, and then scaled and shifted by the gamma and beta of its class. The
    statistics do not depend on the classes.

    Args:
        num_classes: How many classes there are, an integer of at least 1. The weights gamma and beta have the shape
            (num_classes, channels).
        axis: The axis of the channels, an integer: -1 for channels last, 1 for channels first. Not the first axis.
        momentum: The share of the moving statistics that stays when a batch is seen, from 0 to 1.
        epsilon: What is added to the variance, at least 0.
        synchronized: Whether replicas share the statistics, as in `evenbatch.BatchNormalization`.
        debias: Whether the moving statistics forget their initial values, as there.
        **kwargs: center, scale, the initializers, regularizers and constraints of gamma and beta, as in
            `keras.layers.BatchNormalization`, and the arguments of `keras.layers.Layer`. There is no `renorm`.

    Call arguments:
        inputs: A list of two tensors. The inputs, of rank 2 or more with the batch in front: float16 and bfloat16 are
            computed in float32, integers are cast to it. And the labels, integers of the shape (batch,) or (batch, 1),
            from 0 to num_classes - 1. Others are an error in eager mode. In a graph, or compiled, their values are not
            known when the layer is called; there, the outputs of a row with another label are NaN, and in training so
            are the loss and, after the step, the weights: check labels once, with NumPy or with `run_eagerly=True`.
        training: Whether batch statistics are used (True) or the moving ones (False).
        mask: A boolean tensor of the shape of the first input without the axis of the channels, or one that broadcasts
            to it, by itself or, as Keras passes it, in a list with that of the labels, which is None.

    Returns:
        A tensor of the shape of the first input in the layer's compute dtype.

    Raises:
        InvalidArgument: An argument is outside what is allowed or none of this layer's, the inputs are not two, their
            shapes or the labels' dtype do not fit, or, in eager mode, a label is none of the classes.
        SharingFailed: Replicas could not exchange their statistics.

    Reference:
        De Vries et al. 2017, "Modulating early visual processing by language", section 3,
        https://arxiv.org/abs/1707.00683. Dumoulin et al. 2017, "A learned representation for artistic style",
        section 2.2, https://arxiv.org/abs/1610.07629.
    """

    def __init__(
        self,
        num_classes: int,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        *,
        synchronized: bool = True,
        debias: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse(kwargs, _NOT_TAKEN)
        super().__init__(axis, momentum, epsilon, debias=debias, **kwargs)
        self.num_classes = require_count("num_classes", num_classes)
        self.synchronized = bool(synchronized)

    def build(self, input_shape: Any) -> None:
        """Creates the weights for inputs and labels of these two shapes."""
        shape, label_shape = require_pair_of_shapes(input_shape)
        super().build(shape)
        require_batch_in_front(shape, self.axis, "whose rows have a class each")
        require_shape_of_labels(label_shape, shape)
        # Keras would compare it with both inputs and say of one that two were expected, but not which.
        self.input_spec = None
        self._shape = tuple(shape)

    def add_weight(self, shape: Any = None, *args: Any, name: str | None = None, **kwargs: Any) -> Any:
        """As in Keras' layer, which creates the weights, but gamma and beta have one row a class."""
        if name in ("gamma", "beta"):
            shape = (self.num_classes, *shape)
        return super().add_weight(shape, *args, name=name, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalizes the first of the inputs, and scales and shifts it by the class that the second one tells."""
        x, labels = self._checked_pair(inputs)
        require_in_range(labels, self.num_classes)
        x, mask = self._checked(x, _of_the_first(mask))
        x = self._widened(x)
        y = self._train(x, mask) if training and self.trainable else self._infer(x, None, None)
        return ops.cast(self._of_its_class(y, labels), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the first input."""
        return super().compute_output_shape(require_pair_of_shapes(input_shape)[0])

    def compute_output_spec(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """What a call returns, without a call; labels that no call could take are an error here already."""
        x, _ = self._checked_pair(inputs)
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """The mask of the first input."""
        return _of_the_first(previous_mask)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        config = {name: value for name, value in super().get_config().items() if name not in _NOT_TAKEN}
        return {"num_classes": self.num_classes, **config}

    def _train(self, x: Any, mask: Any) -> Any:
        return self._normalize_batch(x, mask, None, None)

    def _checked_pair(self, inputs: Any) -> tuple[Any, Any]:
        x, labels = require_pair(inputs)
        require_labels(labels, x.shape)
        if self.built:
            require_same_channels(x.shape, self._shape, self.axis)
        return x, labels

    def _of_its_class(self, y: Any, labels: Any) -> Any:
        labels, channels = ops.reshape(widened(labels), (-1, 1)), self.axis % len(y.shape)
        shape = [-1 if i == 0 else y.shape[i] if i == channels else 1 for i in range(len(y.shape))]
        # Left to themselves, the frameworks take another class, zeros, NaN or the whole process, each its own.
        known = ops.logical_and(labels >= 0, labels < self.num_classes)
        classes = ops.cast(ops.where(known, labels, ops.zeros_like(labels))[:, 0], "int32")
        for table, combine in ((self.gamma, operator.mul), (self.beta, operator.add)):
            if table is not None:
                rows = ops.cast(ops.take(table.value, classes, axis=0), y.dtype)
                y = combine(y, ops.reshape(ops.where(known, rows, math.nan), shape))
        if self.gamma is None and self.beta is None:  # else one of them has brought the NaN already
            y = ops.where(ops.reshape(known, [-1, *[1] * (len(y.shape) - 1)]), y, math.nan)
        return y


def _of_the_first(mask: Any) -> Any:
    """The mask of the first input, where it is given as Keras gives it for two: as a list of tensors or None."""
    is_pair = isinstance(mask, (list, tuple)) and all(one is None or hasattr(one, "shape") for one in mask)
    return mask[0] if is_pair else mask
