"""The layers. Importing this package registers them with Keras, so that saved models can be loaded."""

from evenbatch import backend

backend.chosen()  # before Keras loads: a backend that is none of ours is refused, whether or not it is installed

from evenbatch.layers.batch_normalization import BatchNormalization  # noqa: E402
from evenbatch.layers.conditional_batch_normalization import ConditionalBatchNormalization  # noqa: E402
from evenbatch.layers.ghost_batch_normalization import GhostBatchNormalization  # noqa: E402

__all__ = ["BatchNormalization", "ConditionalBatchNormalization", "GhostBatchNormalization"]
