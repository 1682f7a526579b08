"""The one place that knows Keras callbacks: it times epochs and hands each one on as a row."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import keras

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


def told(callbacks: list[Any], model: Any) -> Any:
    """Callbacks for a loop that is not Keras' own: what that calls on the list, it calls on each of them."""
    return keras.callbacks.CallbackList(callbacks, model=model)
