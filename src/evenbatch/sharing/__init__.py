"""Who shares statistics, and how: one packed row of each replica forward, one packed sum backward.

A *replica* is a copy of the model that sees a part of the global batch. Each sends one row, the count, means and
variances of its part; all then merge the same rows by the formula of Chan, Golub & LeVeque 1983, so that every replica
holds the same statistics to the bit, whatever the parts are. How a row travels is the framework's: `tensorflow.py`,
`jax.py`, `torch.py`.
"""

import importlib
from typing import Any

from evenbatch import backend
from evenbatch.sharing.peers import Peers
from evenbatch.sharing.setting import local_statistics, replicas

_HERE = importlib.import_module(f"evenbatch.sharing.{backend.chosen()}")  # once: layers ask at every call

__all__ = ["Peers", "found", "local_statistics", "replicas"]


def found(layer: Any) -> Peers | None:
    """The replicas that share the statistics of a layer with this one, None where it is by itself.

    Raises:
        InvalidArgument: the user named an axis that does not exist, or, within `shard_map`, named none.
    """
    peers: Peers | None = _HERE.found(layer)
    return peers
