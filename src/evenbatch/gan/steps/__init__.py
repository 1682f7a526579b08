"""The training step of each backend: `train_step`, in the form that Keras' `fit` wants there.

Every module defines one class, `Steps`, to be mixed into a `keras.Model` that has `batch`, `losses_of` and
`after_step`. What it adds is the gradient: of each loss, with respect to the variables of its own network alone.
"""

import importlib
from typing import Any

from evenbatch import backend

Steps: Any = importlib.import_module(f"evenbatch.gan.steps.{backend.chosen()}").Steps

__all__ = ["Steps"]
