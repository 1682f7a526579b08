"""Everything that a trial needs to go on exactly where it was, in one file.

Model variables (the states of seed generators among them), optimizer variables and the rows of history. One file,
renamed into
place: no kill can fall between two halves of it. Batch order and the framework's own random state are not in it, since
every epoch begins with those of (seed, epoch).
"""

import json
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from evenbatch.errors import StorageError
from evenbatch.files import write_whole

Rows = list[dict[str, Any]]
SHARE = 0.02  # of the time since the last checkpoint, at most, is spent on one


class Cadence:
    """When a checkpoint is worth it: long epochs get one each, short ones share one."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._cost = 0.0

    def due(self) -> bool:
        """Whether what the last one cost is at most `SHARE` of the time since then."""
        return time.perf_counter() - self._last >= self._cost / SHARE

    def spend(self, save: Callable[[], None]) -> None:
        """Saves, and notes what it costs."""
        begin = time.perf_counter()
        save()
        self._last = time.perf_counter()
        self._cost = self._last - begin


def save(path: Path, model: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the state of a model that is being trained, and its history so far."""
    arrays = {f"v{i}": _to_bytes(variable) for i, variable in enumerate(_variables(model))}
    arrays["rows"] = np.frombuffer(json.dumps(list(rows)).encode(), dtype=np.uint8)
    write_whole(path, lambda partial: np.savez(partial, **arrays))


def restore(path: Path, model: Any) -> Rows:
    """Puts the saved state into a freshly compiled model and returns the saved rows; no rows where there is no file.

    Raises:
        StorageError: the file is damaged or is another model's.
    """
    if not path.exists():
        return []
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StorageError(f"cannot read {path}: {error}; delete it to start its trial anew") from error
    variables = _variables(model)
    sizes = [arrays[f"v{i}"].size for i in range(len(variables)) if f"v{i}" in arrays]
    if len(variables) + 1 != len(arrays) or sizes != [_to_bytes(variable).size for variable in variables]:
        raise StorageError(f"cannot use {path}: it holds the state of another model; delete it to start its trial anew")
    for i, variable in enumerate(variables):
        variable.assign(_from_bytes(arrays[f"v{i}"], variable))
    rows: Rows = json.loads(arrays["rows"].tobytes())
    return rows


def _variables(model: Any) -> list[Any]:
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def _to_bytes(variable: Any) -> Any:
    # As bytes, since NumPy's format has no name for bfloat16.
    return np.frombuffer(np.ascontiguousarray(keras.ops.convert_to_numpy(variable)).tobytes(), dtype=np.uint8)


def _from_bytes(saved: Any, variable: Any) -> Any:
    now = keras.ops.convert_to_numpy(variable)
    return np.frombuffer(saved.tobytes(), dtype=now.dtype).reshape(now.shape)
