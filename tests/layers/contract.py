"""What the contract of all layers is tested with: each layer, its arguments, and what it is called with."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import evenbatch.layers as layers

CLASSES = 3
COMMON: dict[str, Any] = {
    "axis": 1,
    "momentum": 0.8,
    "epsilon": 1e-4,
    "center": False,
    "scale": False,
    "beta_initializer": keras.initializers.Constant(0.25),
    "gamma_initializer": keras.initializers.Constant(1.5),
    "moving_mean_initializer": keras.initializers.Constant(0.5),
    "moving_variance_initializer": keras.initializers.Constant(2.0),
    "beta_regularizer": keras.regularizers.L2(0.01),
    "gamma_regularizer": keras.regularizers.L1(0.02),
    "beta_constraint": keras.constraints.NonNeg(),
    "gamma_constraint": keras.constraints.MaxNorm(3.0),
    "activity_regularizer": keras.regularizers.L2(0.03),
    "dtype": keras.DTypePolicy("mixed_bfloat16"),
    "trainable": False,
    "name": "mine",
}
RENORM = {"renorm": True, "renorm_clipping": {"rmax": 3.0, "rmin": 0.3, "dmax": 5.0}, "renorm_momentum": 0.7}


@dataclass(frozen=True)
class Case:
    """A layer, what it must be given, and sets of arguments none of which is the default."""

    layer: Any
    required: dict[str, Any]
    settings: tuple[dict[str, Any], ...]
    refused: frozenset[str] = frozenset()

    def make(self, **arguments: Any) -> Any:
        return self.layer(**{**self.required, **arguments})

    def fed(self, x: Any) -> Any:
        """What the layer is called with, for these inputs."""
        if self.layer is not layers.ConditionalBatchNormalization:
            return x
        return [x, np.arange(len(x), dtype="int32") % CLASSES]

    def model(self, shape: tuple[int, ...], **arguments: Any) -> keras.Model:
        """A small network with the layer, for inputs of this shape."""
        x = keras.Input(shape)
        inputs = [x, keras.Input((), dtype="int32")] if isinstance(self.fed(np.zeros((1, 1))), list) else x
        y = self.make(name="norm", **arguments)(inputs)
        return keras.Model(inputs, keras.layers.Dense(2, dtype="float32")(y))

    def arguments(self) -> Iterator[tuple[str, Any]]:
        """Name and default of every argument, its own and those that it hands on."""
        for kind in inspect.getmro(self.layer):
            if kind is keras.Operation:
                return
            for name, parameter in inspect.signature(kind.__init__).parameters.items():
                if name != "self" and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                    yield name, parameter.default


RENORM_NAMES = frozenset(RENORM)
CASES = [
    Case(
        layers.BatchNormalization,
        {},
        ({**COMMON, "synchronized": False, "debias": True}, {**COMMON, **RENORM, "synchronized": False}),
    ),
    Case(
        layers.GhostBatchNormalization,
        {"virtual_batch_size": 4},
        ({**COMMON, "virtual_batch_size": 5, "debias": True},),
        RENORM_NAMES | {"synchronized"},
    ),
    Case(
        layers.ConditionalBatchNormalization,
        {"num_classes": CLASSES},
        ({**COMMON, "num_classes": 7, "synchronized": False, "debias": True},),
        RENORM_NAMES,
    ),
]
