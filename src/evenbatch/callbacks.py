"""The one place that knows Keras callbacks: epochs as rows, steps, and validations that something is done around."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

from evenbatch.errors import require_count

Row = dict[str, float | int]


class EpochCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `on_begin` when an epoch begins, and `on_row` at its end with its metrics and its seconds.

    `on_begin` gets the number of epochs before this one; a row has the number of those done, from 1. `seconds` leaves
    out validation and what the two functions do. Training stops when `on_row` returns False.
    """

    def __init__(
        self,
        on_begin: Callable[[int], None],
        on_row: Callable[[Row], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__()
        self._on_begin, self._on_row = on_begin, on_row
        self._clock = clock
        self._begin = self._end = 0.0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Starts the clock."""
        self._on_begin(epoch)
        self._begin, self._end = self._clock(), 0.0

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """Stops the clock: validation begins."""
        self._end = self._clock()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Hands the epoch on."""
        seconds = (self._end or self._clock()) - self._begin
        row: Row = {
            "epoch": epoch + 1,
            **{name: float(value) for name, value in (logs or {}).items()},
            "seconds": seconds,
        }
        if not self._on_row(row):
            self.model.stop_training = True


class StepCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `on_step` after each optimizer step, for a progress display."""

    def __init__(self, on_step: Callable[[], None]) -> None:
        super().__init__()
        self._on_step = on_step

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Hands the step on."""
        self._on_step()


class ValidationCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """Calls `on_validation_begin` and `on_validation_end` around validations within `fit`, and no others.

    Args:
        every: Around each with 1, around every second with 2, and so on.

    Raises:
        InvalidArgument: `every` is no integer of at least 1.
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self._every = require_count("every", every)
        self._is_training = self._is_open = False
        self._count = 0

    def on_validation_begin(self) -> None:
        """The model is as the validation will find it."""

    def on_validation_end(self) -> None:
        """The validation has ended."""

    def set_model(self, model: Any) -> None:
        """A `fit` or an `evaluate` takes the callback up: one that was interrupted before is over."""
        super().set_model(model)
        self._is_training = self._is_open = False

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """`fit` has begun."""
        self._is_training, self._is_open, self._count = True, False, 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """`fit` goes on, also where an `evaluate` within it was given this callback."""
        self._is_training = True

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """`fit` has ended."""
        self._is_training = False

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        """A validation begins, or an `evaluate` that was given this callback."""
        self._count += self._is_training
        if self._is_training and self._count % self._every == 0:
            self._is_open = True
            self.on_validation_begin()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """It ends."""
        if self._is_open:
            self._is_open = False
            self.on_validation_end()


def told(callbacks: list[Any], model: Any) -> Any:
    """Callbacks for a loop that is not Keras' own: what that calls on the list, it calls on each of them."""
    return keras.callbacks.CallbackList(callbacks, model=model)
