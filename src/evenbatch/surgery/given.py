"""What any surgery asks of the model that it is given."""

from typing import Any

import keras

from evenbatch import graph
from evenbatch.errors import InvalidArgument, UnsupportedModel
from evenbatch.sites import sites


def require_built(model: Any) -> None:
    """Checks that it is a model with weights.

    Raises:
        InvalidArgument: it is no Keras model, or a `tf.function` is being traced.
        UnsupportedModel: it is not built.
    """
    if not isinstance(model, keras.layers.Layer):
        raise InvalidArgument(f"model must be a Keras model, received {type(model).__name__}")
    if graph.is_in_a_function():
        raise InvalidArgument("models are made outside of tf.function; call this before the function, not within it")
    inside = [site.layer for site in sites(model) if site.layer is not model]
    if not model.built and not (model.weights and all(getattr(layer, "built", True) for layer in inside)):
        raise UnsupportedModel(
            f"the model {model.name!r} is not built, so it has no weights yet; call it on a batch first, "
            "or model.build(input_shape)"
        )
