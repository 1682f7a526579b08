"""The statistics of a layer's inputs in inference, in NumPy's float64, taken by looking over the layer's shoulder."""

from typing import Any

import keras
import numpy as np

from evenbatch.sites import sites


def norms(model: Any) -> dict[str, Any]:
    """The normalizations of a model by their paths."""
    kind = keras.layers.BatchNormalization
    return {site.path: site.layer for site in sites(model) if isinstance(site.layer, kind)}


def met(model: Any, x: Any, training: bool = False) -> dict[str, tuple[Any, Any]]:
    """Mean and variance of all values that each layer is given, by path."""
    seen: dict[str, list[Any]] = {path: [] for path in norms(model)}

    def looking(path: str, layer: Any) -> Any:
        def call(inputs: Any, *args: Any, training: Any = None, mask: Any = None) -> Any:
            first = inputs[0] if isinstance(inputs, list | tuple) else inputs
            seen[path].append(values(first, layer.axis, mask[0] if isinstance(mask, list) else mask))
            return type(layer).call(layer, inputs, training=training, mask=mask)

        return call

    for path, layer in norms(model).items():
        vars(layer)["call"] = looking(path, layer)
    try:
        model(x, training=training)
    finally:
        for layer in norms(model).values():
            vars(layer).pop("call")
    every = {path: np.concatenate(parts) for path, parts in seen.items() if parts}
    return {path: (found.mean(axis=0), found.var(axis=0)) for path, found in every.items()}


def values(x: Any, axis: int, mask: Any) -> Any:
    """The values of each channel that the mask leaves in, shape (values, channels)."""
    rows = np.moveaxis(numbers(x), axis, -1)
    left = np.ones(rows.shape[:-1], bool) if mask is None else keras.ops.convert_to_numpy(mask).astype(bool)
    return rows[np.broadcast_to(left, rows.shape[:-1])]


def numbers(tensor: Any) -> Any:
    wide = tensor if keras.backend.standardize_dtype(tensor.dtype) == "float64" else keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(wide).astype("float64")


def kept(layer: Any) -> tuple[Any, Any]:
    """The moving statistics that a layer has."""
    return numbers(layer.moving_mean.value), numbers(layer.moving_variance.value)


def assert_equal_statistics(found: Any, expected: Any, tolerance: float = 2e-5) -> None:
    """Means to a share of the deviation, variances to a share of themselves."""
    (mean, variance), (true_mean, true_variance) = found, expected
    deviation = np.sqrt(true_variance) + 1e-3 + 1e-2 * np.abs(true_mean)
    assert np.all(np.abs(mean - true_mean) <= tolerance * deviation), (mean, true_mean)
    np.testing.assert_allclose(variance, true_variance, rtol=10 * tolerance, atol=tolerance * 1e-2)
