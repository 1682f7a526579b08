"""The replicas that see the other parts of a global batch, and what is exchanged with them."""

from abc import ABC, abstractmethod
from typing import Any

from keras import ops

from evenbatch import kernels
from evenbatch.kernels import Statistics


class Peers(ABC):
    """All replicas that share statistics with this one, itself included.

    Two exchanges, each the derivative of the other, so that derivatives of every order are right: a sum over replicas
    of what differs among them, and its mirror image, which hands on what is the same on all of them and sums the
    gradients that come back.
    """

    def merged(self, own: Statistics) -> Statistics:
        """The statistics of the global batch, from those of this replica's part: one collective.

        They are the same on every replica, to the bit. Gradients flow to `own`, of all replicas at once: what depends
        on them here must be what depends on them everywhere (see `handed_on`).
        """
        like, channels = own.mean.dtype, own.mean.shape[0]
        count = ops.reshape(ops.cast(own.count, like), (1,))
        rows = self._gathered(ops.concatenate([count, own.mean, own.variance]))
        return kernels.merged(Statistics(rows[:, 0], rows[:, 1 : channels + 1], rows[:, channels + 1 :]))

    def handed_on(self, merged: Statistics) -> Statistics:
        """The merged statistics for use on this replica's part; backward, one collective sums what all parts say."""
        channels = merged.mean.shape[0]
        both = self._handed_on(ops.concatenate([merged.mean, merged.variance]))
        return Statistics(merged.count, both[:channels], both[channels:])

    @abstractmethod
    def _gathered(self, row: Any) -> Any:
        """The rows of all replicas, shape (replicas, n), the same everywhere; backward, this replica's row of it."""

    @abstractmethod
    def _handed_on(self, values: Any) -> Any:
        """The same values; backward, the sum over replicas."""
