"""Devices of a JAX mesh.

Under `jit` and sharding, and so under `keras.distribution`, a function sees the global batch: its statistics are global
as they are, and there is nobody to share them with. Within `shard_map` (and `pmap`) it sees one device's part.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from evenbatch.errors import InvalidArgument
from evenbatch.sharing import setting
from evenbatch.sharing.peers import Peers


def found(layer: Any) -> Peers | None:
    """The devices along the axis that the user named."""
    said = setting.current()
    if said.local:
        return None
    divided = jax.sharding.get_abstract_mesh().manual_axes
    if said.axis_name is None:
        if divided:
            names = ", ".join(map(repr, divided))
            raise InvalidArgument(
                f"axis_name is needed within shard_map or pmap, where a layer sees one device's part along {names}: "
                f"call it in `with eb.replicas(axis_name={divided[0]!r})`, if the batch is divided along that axis, or "
                "in `with eb.local_statistics()`"
            )
        return None
    axes = (said.axis_name,) if isinstance(said.axis_name, str) else said.axis_name
    if not set(axes) <= set(divided):
        raise InvalidArgument(
            f"axis_name must be an axis along which a surrounding shard_map or pmap divides, here "
            f"{', '.join(map(repr, divided)) or 'there is none'}, received {said.axis_name!r}; under jit and sharding "
            "leave it out: there, statistics are those of the global batch"
        )
    return _Axis(axes)  # of one device, too: what is shared along an axis is of another type to JAX


def rows(row: Any, strategy: Any) -> Any:
    """The rows of all processes."""
    if jax.process_count() == 1:
        return row[None]
    # As halves of 32 bits each: JAX would round what is float64.
    return np.ascontiguousarray(multihost_utils.process_allgather(row.view(np.uint32))).view(np.float64)


class _Axis(Peers):
    """The devices along an axis of the mesh. Their exchanges have derivatives of their own in JAX."""

    def __init__(self, axes: tuple[str, ...]) -> None:
        self._axes = axes

    def _gathered(self, row: Any) -> Any:
        # A sum of rows that stand in places of their own: JAX then knows that it is the same on every device.
        places = jnp.zeros((jax.lax.axis_size(self._axes), *row.shape), row.dtype)
        return jax.lax.psum(places.at[jax.lax.axis_index(self._axes)].set(row), self._axes)

    def _handed_on(self, values: Any) -> Any:
        return jax.lax.pcast(values, self._axes, to="varying")
