"""Several devices of one machine for one training: replicas that each see a part of every batch.

GPUs where there are some, else the CPU as often as asked for: logical devices of this process on TensorFlow and JAX, a
process each on PyTorch. What is shared by whom is the layers' own business (`evenbatch.sharing`); here the replicas are
set up, and fed.
"""

import importlib

from evenbatch import backend
from evenbatch.devices.team import One, Team

__all__ = ["One", "Team", "prepare", "team"]


def prepare(count: int) -> None:
    """Makes that many devices available. Before the first tensor: a framework divides the CPU only when it starts.

    Raises:
        InvalidArgument: there are GPUs, but fewer.
        BackendUnavailable: the framework runs already, with fewer devices.
    """
    if count > 1:
        importlib.import_module(f"evenbatch.devices.{backend.chosen()}").prepare(count)


def team(count: int) -> Team:
    """The replicas that train together on that many devices, which `prepare` has made available."""
    if count == 1:
        return One()
    found: Team = importlib.import_module(f"evenbatch.devices.{backend.chosen()}").team(count)
    return found
