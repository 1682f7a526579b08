"""`eb.Recalibrate`: validation by population statistics, while the model trains on as it would without."""

import random
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import keras
import numpy as np

from evenbatch import graph
from evenbatch.callbacks import ValidationCallback
from evenbatch.errors import InvalidArgument
from evenbatch.sites import sites
from evenbatch.surgery.given import require_built
from evenbatch.surgery.rebuild import Rebuilt, rebuild
from evenbatch.surgery.recalibration.options import Options
from evenbatch.surgery.recalibration.progress import Bar, Silent
from evenbatch.surgery.recalibration.settling import settle
from evenbatch.surgery.recalibration.statistics import variables
from evenbatch.surgery.recalibration.targets import targets

# By model, what a validation put in: each variable, its value before, and the one that it was given. Here and not in
# the callback, since a validation that is interrupted may leave it to another one.
_PUT_IN: WeakKeyDictionary[Any, list[tuple[Any, Any, Any]]] = WeakKeyDictionary()


class Recalibrate(ValidationCallback):
    """Gives the validations of `fit` the population statistics of the weights as they are then.

    Before a validation, the statistics are computed on a copy of the model and put into the layers; after it, the
    moving statistics are put back. Training goes on as it would have without the callback, to the bit: its weights,
    moving statistics, seeds and the order of its batches are the same. What validation measures is what
    `eb.recalibrate` would make of the model, so that monitors such as `EarlyStopping` and `ReduceLROnPlateau` see it.

    Behind `keras.callbacks.SwapEMAWeights` in the list of callbacks, it sees the averaged weights. `evaluate` outside
    of `fit` is left alone. What is saved during the training has the moving statistics. Of two in the list, validation
    sees the last.

    A `tf.data.Dataset` that shuffles is not to be the one that `fit` is given: the two would share its generator, whose
    state TensorFlow does not tell, and training would see another order. Give it a data set of its own, or arrays.

    A validation that is interrupted, by the keyboard or by an error, leaves population statistics in the model. The
    next `fit` or `evaluate` with a `Recalibrate` puts the moving ones back as it begins, where they are still to be
    put back: what has been loaded or trained since stays.

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
        InvalidArgument: An option is outside what is allowed, or the data can be gone through only once. As `fit`
            begins: all normalizations are frozen.
        UnsupportedModel: As `fit` begins: no layer of the model gets new statistics.
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
        self._twin: Rebuilt | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Checks what can be checked before the first epoch.

        Raises:
            InvalidArgument: All normalizations are frozen.
            UnsupportedModel: No layer of the model gets new statistics.
        """
        super().on_train_begin(logs)
        self._put_back_what_was_left()
        self._twin = None  # which has the flags of the last training
        if _is_built(self.model):
            targets(self.model, frozen=self._options.frozen)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """Leaves the model as the training made it."""
        super().on_train_end(logs)
        self._put_back_what_was_left()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A validation begins, or an `evaluate`: with the moving statistics, though a validation was interrupted."""
        if not self._is_training:
            self._put_back_what_was_left()
        super().on_test_begin(logs)

    def on_validation_begin(self) -> None:
        """Puts population statistics into the model, in the place of those that another callback has put in."""
        self._put_back_what_was_left()
        with _generators_kept(self._data):
            twin = self._twin_as_the_model_is()
            places = targets(twin.model, frozen=self._options.frozen)
            settle(twin.model, places, self._data, self._options, Bar() if self._verbose else Silent())
        given = {id(new): variable for variable, new in twin.variables}
        pairs = [(given[id(new)], new) for layer in places.layers for new in variables(layer)]
        copy = keras.ops.copy
        _PUT_IN[self.model] = [(variable, copy(variable.value), copy(new.value)) for variable, new in pairs]
        with graph.where_it_lives(self.model):
            for variable, new in pairs:
                graph.carry_value(new, variable)

    def on_validation_end(self) -> None:
        """Puts the moving statistics back."""
        with graph.where_it_lives(self.model):
            for variable, before, _ in _PUT_IN.get(self.model, ()):
                variable.assign(before)
        _PUT_IN.pop(self.model, None)

    def _put_back_what_was_left(self) -> None:
        """Puts the moving statistics back that an interrupted validation has left out, except where others came."""
        with graph.where_it_lives(self.model):
            for variable, before, given in _PUT_IN.get(self.model, ()):
                if _bits(variable.value) == _bits(given):
                    variable.assign(before)
        _PUT_IN.pop(self.model, None)

    def _twin_as_the_model_is(self) -> Rebuilt:
        """A copy of the model, made at a training's first validation, with its variables' values as they are now."""
        if self._twin is None:
            require_built(self.model)
            targets(self.model, frozen=self._options.frozen)
            self._twin = rebuild(self.model, lambda _: None, lambda *_: [])
            return self._twin
        with graph.where_it_lives(self.model):
            for variable, twin in self._twin.variables:
                graph.carry_value(variable, twin)
        return self._twin


def _is_built(model: Any) -> bool:
    """Whether all is there that tells which statistics are computed: some models are built by their first batch."""
    return bool(model.built) and all(site.layer.built for site in sites(model))


def _bits(value: Any) -> bytes:
    return np.asarray(keras.ops.convert_to_numpy(value)).tobytes()


@contextmanager
def _generators_kept(data: Any) -> Iterator[None]:
    """Within, random numbers may be drawn, from which the training then does not see that they were.

    Loaders of data draw from the generators of Python, NumPy and PyTorch, or from one of their own that the loader of
    the training may share, and making a layer draws a seed.
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the user's and Keras' own
    torch = sys.modules.get("torch")  # whose loaders serve every backend
    torch_state = torch.get_rng_state() if torch else None
    keras_state = keras.ops.copy(graph.global_seed().value)
    of_loader = [(generator, generator.get_state()) for generator in _generators_of(data)]
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        graph.global_seed().assign(keras_state)
        if torch:
            torch.set_rng_state(torch_state)
        for generator, state in of_loader:
            generator.set_state(state)


def _generators_of(data: Any) -> list[Any]:
    """The generators that a DataLoader was given for itself and for what it takes the order of examples from."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(data, torch.utils.data.DataLoader):
        return []
    holders = [data, data.sampler, data.batch_sampler, getattr(data.batch_sampler, "sampler", None)]
    generators = [getattr(holder, "generator", None) for holder in holders]
    return [generator for generator in generators if isinstance(generator, torch.Generator)]
