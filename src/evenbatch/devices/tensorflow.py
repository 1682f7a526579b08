"""Devices under `tf.distribute.MirroredStrategy`, through Keras' own `fit`."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import tensorflow as tf

from evenbatch.devices.team import Team, require_gpus
from evenbatch.errors import BackendUnavailable


def prepare(count: int) -> None:
    """Divides the CPU, where there are no GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        require_gpus(count, len(gpus))
        return
    cpu = tf.config.list_physical_devices("CPU")[0]
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise BackendUnavailable(
                f"TensorFlow runs already and its CPU is not divided into {count} devices; ask for them in a new "
                "process, before anything else is done with TensorFlow"
            ) from error


def team(count: int) -> Team:
    """The replicas of a mirrored strategy."""
    return _Mirrored(_strategy(count))


@lru_cache(maxsize=1)  # on CPU, the collectives of two strategies in one process collide
def _strategy(count: int) -> Any:
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return tf.distribute.MirroredStrategy([f"{kind}:{i}" for i in range(count)])


class _Mirrored(Team):
    """The replicas of a mirrored strategy, which Keras finds when a model is built in its scope."""

    def __init__(self, strategy: Any) -> None:
        self._strategy = strategy

    def together(self, others: Callable[[], None]) -> AbstractContextManager[None]:
        """The scope of the strategy: a model that is only compiled there has its weights on one device."""
        scope: AbstractContextManager[None] = self._strategy.scope()
        return scope

    def fit(self, model: Any, **arguments: Any) -> None:
        """Keras' `fit`, of which one step is taken here.

        Under a strategy Keras 3.15 prepares `fit` and `evaluate` by the mean over replicas of their first batch, which
        is an error where that does not divide evenly. All that it wants of the batch are shapes, and of a model that
        takes a step of its own nothing.
        """
        if "validation_data" in arguments:
            x, y = arguments["validation_data"]
            model._symbolic_build(data_batch=(x[:1], y[:1]))
        model.optimizer.build(model.trainable_variables)
        model._maybe_symbolic_build = _prepared_already
        model.fit(**arguments)


def _prepared_already(iterator: Any = None, data_batch: Any = None) -> None:
    pass
