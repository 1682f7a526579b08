"""The training step of each backend: `train_step`, in the form that Keras' `fit` wants there.

Every module defines one class, `Steps`, to be mixed into a `keras.Model` that has `batch`, `losses_of` and
`after_step`. What it adds is the gradient: of each loss, with respect to the variables of its own network alone.
"""

from evenbatch import backend

_CHOSEN = backend.chosen()
if _CHOSEN == "tensorflow":
    from evenbatch.gan.steps.tensorflow import Steps
elif _CHOSEN == "jax":
    from evenbatch.gan.steps.jax import Steps
else:
    from evenbatch.gan.steps.torch import Steps

__all__ = ["Steps"]
