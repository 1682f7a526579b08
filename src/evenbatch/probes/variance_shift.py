"""What dropout before a batch normalization does to the variance of its inputs.

Dropout scales what it keeps by 1 / keep, which preserves the mean and raises the variance; in inference it does
nothing. A normalization behind it has learned the raised variance and then meets the lower one. For inputs of mean c
and variance v the ratio is v / ((c² + v) / keep - c²) where dropout stands directly before the layer, and milder behind
a dense layer (Li et al. 2019, "Understanding the disharmony between dropout and batch normalization by variance shift",
https://arxiv.org/abs/1801.05134).
"""

from typing import Any

import keras
import numpy as np

from evenbatch.sites import Site, sites, upstream


def variance_shift(model: Any, x: Any) -> list[dict[str, Any]]:
    """For each batch normalization of a trained model: variance of its inputs in inference, over that in training.

    The model is run in training mode, which moves its moving statistics: call it when nothing of the model is needed
    any more. A model that is neither Functional nor Sequential, and layers that are used more than once, have no one
    place to look at; they are left out.

    Args:
        model: A built Functional or Sequential model.
        x: Inputs, shape (n, ...); one batch.

    Returns:
        A row for each layer: its name, the dropout rates before it, and medians over channels of the inference variance
        divided by the training variance of the same inputs and weights, and divided by the layer's moving variance.
    """
    found = sites(model) if getattr(model, "inputs", None) else []
    places = [site for site in found if _can_be_probed(site)]
    if not places or not any(isinstance(site.layer, keras.layers.Dropout) for site in found):
        return []
    layers = [site.layer for site in places]
    moving = {layer.name: keras.ops.convert_to_numpy(layer.moving_variance) for layer in layers}
    feeds = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    inputs_of = keras.Model(feeds, [layer.input for layer in layers])
    inference = [_variance(a, layer.axis) for a, layer in zip(_run(inputs_of, x, False), layers, strict=True)]
    training = [_variance(a, layer.axis) for a, layer in zip(_run(inputs_of, x, True), layers, strict=True)]
    return [
        {
            "layer": site.layer.name,
            "dropout_before": _dropout_before(site),
            "inference_over_training": _median_ratio(inference[i], training[i]),
            "inference_over_moving": _median_ratio(inference[i], moving[site.layer.name]),
        }
        for i, site in enumerate(places)
    ]


def _can_be_probed(site: Site) -> bool:
    """Whether it is a normalization of one input that is used once, in the model itself and not in one within."""
    in_the_graph_once = bool(site.producers) and site.uses == 1 and site.path == site.layer.name
    is_one = isinstance(site.layer, keras.layers.BatchNormalization) and in_the_graph_once
    return is_one and not isinstance(site.layer.input, list)


def _run(model: Any, x: Any, training: bool) -> list[Any]:
    outputs = model(x, training=training)
    return [keras.ops.convert_to_numpy(a) for a in (outputs if isinstance(outputs, list | tuple) else [outputs])]


def _variance(activations: Any, axis: int) -> Any:
    other = tuple(i for i in range(activations.ndim) if i != axis % activations.ndim)
    return activations.astype("float64").var(axis=other)


def _median_ratio(above: Any, below: Any) -> float:
    alive = below > 1e-12
    return float(np.median(above[alive] / below[alive])) if alive.any() else float("nan")


def _dropout_before(site: Site) -> float:
    """The largest rate among the dropouts that its inputs have passed, 0 where there is none."""
    return max(
        (float(one.layer.rate) for one in upstream(site) if isinstance(one.layer, keras.layers.Dropout)), default=0.0
    )
