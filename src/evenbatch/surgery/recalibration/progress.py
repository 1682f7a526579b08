"""How far recalibration is, on standard error."""

import sys
import time
from typing import Protocol


class Watch(Protocol):
    """Is told how far it is."""

    def begin(self) -> None:
        """It begins."""

    def step(self, done: int, batches: int | None) -> None:
        """So many batches are done of so many, over all stages; None where that is not known by now."""

    def end(self) -> None:
        """It has ended, in one way or another."""


class Silent:
    """Says nothing."""

    def begin(self) -> None:
        """Nothing."""

    def step(self, done: int, batches: int | None) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class Bar:
    """A bar with the time left, a few times a second at most."""

    _WIDTH = 30

    def begin(self) -> None:
        """Starts the clock."""
        self._start = self._shown = time.monotonic()
        self._last: tuple[int, int | None] = 0, None

    def step(self, done: int, batches: int | None) -> None:
        """Draws the bar anew."""
        self._last = done, batches
        if time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            self._draw()

    def end(self) -> None:
        """Draws it for the last time."""
        self._draw("\n")

    def _draw(self, end: str = "") -> None:
        done, total = self._last
        spent = time.monotonic() - self._start
        if total:
            full = round(self._WIDTH * min(done / total, 1))
            bar = f"[{'=' * full}{'.' * (self._WIDTH - full)}] {done}/{total} batches"
            left = f", {spent / done * (total - done):.0f} s left" if 0 < done < total else f", {spent:.1f} s"
        else:
            bar, left = f"{done} batches", f", {spent:.1f} s"
        sys.stderr.write(f"\rRecalibrating {bar}{left}   {end}")
        sys.stderr.flush()
