"""`eb.Recalibrate`: validation by population statistics, while the model trains on as it would without."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from evenbatch import graph
from evenbatch.callbacks import ValidationCallback
from evenbatch.errors import InvalidArgument
from evenbatch.surgery.given import require_built
from evenbatch.surgery.rebuild import Rebuilt, rebuild
from evenbatch.surgery.recalibration.options import Options
from evenbatch.surgery.recalibration.progress import Bar, Silent
from evenbatch.surgery.recalibration.settling import settle
from evenbatch.surgery.recalibration.statistics import variables
from evenbatch.surgery.recalibration.targets import targets


class Recalibrate(ValidationCallback):
    """Gives the validations of `fit` the population statistics of the weights as they are then.

    Before a validation, the statistics are computed on a copy of the model and put into the layers; after it, the
    moving statistics are put back. Training goes on as it would have without the callback, to the bit: its weights,
    moving statistics, seeds and the order of its batches are the same. What validation measures is what
    `eb.recalibrate` would make of the model, so that monitors such as `EarlyStopping` and `ReduceLROnPlateau` see it.

    Behind `keras.callbacks.SwapEMAWeights` in the list of callbacks, it sees the averaged weights. `evaluate` outside
    of `fit` is left alone. What is saved during the training has the moving statistics.

    Args:
        data: As for `eb.recalibrate`; it is gone through at every validation, so no generator.
        every: At which validations: 1 for each, 2 for every second, and so on.
        batch_size: As for `eb.recalibrate`, like all that follow.
        max_batches: The same.
        one_pass: The same.
        dropout: The same.
        frozen: The same.
        tolerance: The same.
        verbose: Whether a bar tells how far it is. False by default.

    Raises:
        InvalidArgument: An option is outside what is allowed, or the data can be gone through only once.
    """

    def __init__(
        self,
        data: Any,
        every: int = 1,
        *,
        batch_size: int = 32,
        max_batches: int | None = None,
        one_pass: bool = False,
        dropout: bool = False,
        frozen: bool = False,
        tolerance: float | None = None,
        verbose: bool = False,
    ) -> None:
        super().__init__(every)
        if isinstance(data, Iterator):
            raise InvalidArgument(
                f"data must be what can be gone through at every validation, received {type(data).__name__}, which "
                "can be but once; pass arrays, a list of batches, a tf.data.Dataset or a DataLoader"
            )
        self._data, self._verbose = data, verbose
        self._options = Options(batch_size, max_batches, one_pass, dropout, frozen, tolerance)
        self._of: Any = None
        self._twin: Rebuilt | None = None
        self._before: list[tuple[Any, Any]] = []

    def on_validation_begin(self) -> None:
        """Puts population statistics into the model."""
        with _generators_kept():
            twin = self._twin_as_the_model_is()
            places = targets(twin.model, frozen=self._options.frozen)
            settle(twin.model, places, self._data, self._options, Bar() if self._verbose else Silent())
        given = {id(new): variable for variable, new in twin.variables}
        pairs = [(given[id(new)], new) for layer in places.layers for new in variables(layer)]
        self._before = [(variable, keras.ops.copy(variable.value)) for variable, _ in pairs]
        with graph.where_it_lives(self.model):
            for variable, new in pairs:
                graph.carry_value(new, variable)

    def on_validation_end(self) -> None:
        """Puts the moving statistics back."""
        with graph.where_it_lives(self.model):
            for variable, value in self._before:
                variable.assign(value)
        self._before = []

    def _twin_as_the_model_is(self) -> Rebuilt:
        """A copy of the model, made at the first validation, with the values of its variables as they are now."""
        if self._twin is None or self._of is not self.model:
            require_built(self.model)
            targets(self.model, frozen=self._options.frozen)
            self._of, self._twin = self.model, rebuild(self.model, lambda _: None, lambda *_: [])
            return self._twin
        with graph.where_it_lives(self.model):
            for variable, twin in self._twin.variables:
                graph.carry_value(variable, twin)
        return self._twin


@contextmanager
def _generators_kept() -> Iterator[None]:
    """Within, random numbers may be drawn, from which the training then does not see that they were.

    Loaders of data draw from the generators of Python, NumPy and PyTorch, and making a layer draws a seed.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's and Keras' own
    torch_state = None
    if keras.backend.backend() == "torch":
        import torch

        torch_state = torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        if torch_state is not None:
            torch.set_rng_state(torch_state)
