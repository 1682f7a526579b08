"""Those that train one model together."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from evenbatch.errors import InvalidArgument


class Team(ABC):
    """The replicas of one training, seen from the process that writes its files or from one that follows it.

    Attributes:
        leads: Whether this process writes the files.
    """

    leads = True

    @abstractmethod
    def together(self, others: Callable[[], None]) -> AbstractContextManager[None]:
        """Where the model is built, trained and used; where replicas are processes, the others run `others`."""

    def building(self) -> AbstractContextManager[None]:
        """Where the model is built."""
        return nullcontext()

    def placed(self, batch: Any) -> Any:
        """A global batch, where its rows are to be."""
        return batch

    def fit(self, model: Any, **arguments: Any) -> None:
        """Trains the model; the arguments are those of `keras.Model.fit`, `x` a data set of global batches."""
        model.fit(**arguments)


class One(Team):
    """One device, as Keras uses it by itself."""

    def together(self, others: Callable[[], None]) -> AbstractContextManager[None]:
        """Nothing to set up."""
        return nullcontext()


def require_gpus(count: int, there: int) -> None:
    """Refuses to train on fewer GPUs than asked for: two replicas on one would be slower than one."""
    if there < count:
        raise InvalidArgument(f"devices must be at most the number of GPUs, which is {there}, received {count}")
