"""Who shares statistics, and how: one packed row of each replica forward, one packed sum backward.

A *replica* is a copy of the model that sees a part of the global batch. Each sends one row, the count, means and
variances of its part; all then merge the same rows by the formula of Chan, Golub & LeVeque 1983, so that every replica
holds the same statistics to the bit, whatever the parts are. How a row travels is the framework's: `tensorflow.py`,
`jax.py`, `torch.py`.
"""

import importlib
from typing import Any

import numpy as np

from evenbatch import backend
from evenbatch.sharing import setting
from evenbatch.sharing.peers import Peers
from evenbatch.sharing.setting import local_statistics, replicas

_HERE = importlib.import_module(f"evenbatch.sharing.{backend.chosen()}")  # once: layers ask at every call

__all__ = ["Peers", "found", "local_statistics", "replicas", "rows_of_all_processes"]


def found(layer: Any) -> Peers | None:
    """The replicas that share the statistics of a layer with this one, None where it is by itself.

    Raises:
        InvalidArgument: the user named an axis that does not exist, or, within `shard_map`, named none.
    """
    peers: Peers | None = _HERE.found(layer)
    return peers


def rows_of_all_processes(row: Any, strategy: Any = None) -> Any:
    """The rows of all processes, shape (processes, n), the same on each of them to the bit: one collective.

    For what is computed on the host, once in a while: the ranks of torch's process group (the default one, or that of
    `eb.replicas`), the processes of JAX, the workers of a `MultiWorkerMirroredStrategy`. Every one must call it, with a
    row of the same length. In `eb.local_statistics()`, and where there is one process alone, it is the row by itself.

    Args:
        row: float64, shape (n,).
        strategy: On TensorFlow, the strategy that the model was made in.

    Raises:
        SharingFailed: on PyTorch, another rank has ended or did not come.
    """
    row = np.ascontiguousarray(row, np.float64)
    return row[None] if setting.current().local else np.asarray(_HERE.rows(row, strategy))
