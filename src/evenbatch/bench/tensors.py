"""Random tensors on the backend's device, the same in every run."""

from typing import Any

import keras
import numpy as np

from evenbatch.bench.plan import Shape

CLASSES = 10


def values(shape: Shape, dtype: str = "float32", *, seed: int = 0) -> Any:
    """Standard normal numbers."""
    numbers = np.random.default_rng(seed).standard_normal(shape, dtype="float32")
    return keras.ops.convert_to_tensor(numbers, dtype=dtype)


def labels(count: int) -> Any:
    """Classes from 0 to 9."""
    return keras.ops.convert_to_tensor(np.random.default_rng(0).integers(0, CLASSES, count, dtype="int32"))


def policy(dtype: str) -> str:
    """Keras' name for computing in that type: with 16 bits the weights stay in float32."""
    return dtype if dtype == "float32" else f"mixed_{dtype}"
