"""Who shares statistics, and how: one packed row of each replica forward, one packed sum backward.

A *replica* is a copy of the model that sees a part of the global batch. Each sends one row, the count, means and
variances of its part; all then merge the same rows by the formula of Chan, Golub & LeVeque 1983, so that every replica
holds the same statistics to the bit, whatever the parts are. How a row travels is the framework's: `tensorflow.py`,
`jax.py`, `torch.py`.
"""

from evenbatch.sharing.peers import Peers, found
from evenbatch.sharing.setting import local_statistics, replicas

__all__ = ["Peers", "found", "local_statistics", "replicas"]
