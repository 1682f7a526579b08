"""How far a running trial is: `progress.json` in its folder, for whoever watches."""

import json
import time
from pathlib import Path

from evenbatch import files

NAME = "progress.json"
SECONDS = 0.3  # at most so often


class Progress:
    """Writes how many epochs are done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._next = 0.0

    def __call__(self, epoch: int) -> None:
        """Notes that this many epochs are done."""
        if time.monotonic() >= self._next:
            files.write_text(self._path, json.dumps({"epoch": epoch}))
            self._next = time.monotonic() + SECONDS


def epochs_done(folder: Path) -> int:
    """Epochs of the trial that runs in a folder, 0 where none does."""
    try:
        return int(json.loads((folder / NAME).read_text())["epoch"])
    except (OSError, ValueError, KeyError):
        return 0
