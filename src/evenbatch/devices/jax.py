"""Devices of one JAX mesh, over which `jit` divides the work: weights on all of them, each with a part of the batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import keras

from evenbatch.devices.team import Team, require_gpus
from evenbatch.errors import BackendUnavailable


def prepare(count: int) -> None:
    """Divides the CPU, where there are no GPUs."""
    try:
        jax.config.update("jax_num_cpu_devices", count)
    except RuntimeError as error:
        if len(jax.devices()) < count:
            raise BackendUnavailable(
                f"JAX runs already, with {len(jax.devices())} of {count} devices; ask for them in a new process, "
                "before anything else is done with JAX"
            ) from error
    if jax.devices()[0].platform != "cpu":
        require_gpus(count, len(jax.devices()))


def team(count: int) -> Team:
    """The devices of a mesh."""
    return _Mesh(jax.devices()[:count])


class _Mesh(Team):
    """The devices of a mesh of one axis."""

    def __init__(self, devices: list[Any]) -> None:
        self._data_parallel = keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)
        mesh = self._data_parallel.device_mesh.backend_mesh
        self._everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        self._divided = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*mesh.axis_names))

    def together(self, others: Callable[[], None]) -> AbstractContextManager[None]:
        """Nothing: Keras' distribution is left once the model is built.

        Within it, Keras gives every batch the layout of the first, and the last of an epoch, which may be smaller, is
        an error. So it lays out the variables alone; the batches are placed here.
        """
        return nullcontext()

    def building(self) -> AbstractContextManager[None]:
        """The scope in which Keras lays every variable on all devices."""
        scope: AbstractContextManager[None] = self._data_parallel.scope()
        return scope

    def placed(self, batch: Any) -> Any:
        """Divided by rows. A batch that does not divide evenly is on every device; its numbers are the same."""
        even = all(len(array) % self._divided.num_devices == 0 for array in jax.tree.leaves(batch))
        return jax.device_put(batch, self._divided if even else self._everywhere)
