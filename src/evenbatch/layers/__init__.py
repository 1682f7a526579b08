"""The layers. Importing this package registers them with Keras, so that saved models can be loaded."""

from evenbatch.layers.batch_normalization import BatchNormalization

__all__ = ["BatchNormalization"]
