"""Judges are trained once and kept: `$EVENBATCH_CACHE`, else `evenbatch` in `$XDG_CACHE_HOME`, else in `~/.cache`.

A file's name holds a hash of the images and labels that the judge has seen and of the architecture, and the file holds
the judge's own hash. What does not fit is not used: the judge is trained anew.
"""

import hashlib
import os
import warnings
from pathlib import Path

import numpy as np

from evenbatch import files
from evenbatch.datasets import Dataset
from evenbatch.errors import InvalidData, StorageError
from evenbatch.gan.yardstick import training
from evenbatch.gan.yardstick.judge import Array, Classifier, Judge
from evenbatch.gan.yardstick.network import ARCHITECTURE

SMALLEST = 8


def judge_for(dataset: Dataset, folder: Path | None = None, *, on_step: training.OnStep | None = None) -> Judge:
    """The judge of a data set: the one that was kept, or a new one.

    Processes that ask at the same time may each train one, and do not disturb each other. Where the folder cannot be
    written the judge is returned all the same, with a warning.

    Args:
        dataset: Images of shape (height, width, channels), at least 8×8, float32 in [-1, 1].
        folder: Where judges are kept, if not in the cache.
        on_step: Called as `on_step(done, steps)` while a new one is trained.

    Raises:
        InvalidData: the data set is none of such images.
    """
    _check(dataset)
    path = path_for(dataset, folder)
    if kept := read(path):
        return kept
    judge = training.train_judge(dataset, on_step)
    if kept := read(path):
        return kept  # of another process, which was faster: all go on with the same one
    try:
        write(path, judge)
    except StorageError as error:
        warnings.warn(f"the judge is not kept for the next time: {error}", stacklevel=2)
    return judge


def path_for(dataset: Dataset, folder: Path | None = None) -> Path:
    """Where the judge of a data set is kept, in the cache if not in a folder."""
    return (folder or cache_folder()) / f"judge-{_digest(dataset)[:24]}.npz"


def cache_folder() -> Path:
    """Where judges are kept."""
    if own := os.environ.get("EVENBATCH_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path("~/.cache").expanduser()) / "evenbatch"


def write(path: Path, judge: Judge) -> None:
    """Writes a judge, whole or not at all.

    Raises:
        StorageError: the file could not be written.
    """
    arrays: dict[str, Array] = {"sha256": np.array(judge.sha256), "shape": np.array(judge.main.shape)}
    for name, classifier in (("main", judge.main), ("cross", judge.cross)):
        arrays[f"{name}_accuracy"] = np.array(classifier.accuracy)
        arrays |= {f"{name}_{number:02}": array for number, array in enumerate(classifier.weights)}
    # Its name is its own while it is written: two processes may write the same judge at once.
    files.write_among_users_files(path, lambda partial: np.savez(partial, allow_pickle=False, **arrays))


def read(path: Path) -> Judge | None:
    """The judge in a file; nothing where there is none, or none that is whole."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            judge = Judge(_classifier(dict(file), "main"), _classifier(dict(file), "cross"))
            return judge if judge.sha256 == str(file["sha256"]) else None
    except Exception:  # a damaged archive meets zlib, zipfile, numpy's header and a missing name in turn
        return None


def _classifier(arrays: dict[str, Array], name: str) -> Classifier:
    weights = tuple(arrays[key] for key in sorted(arrays) if key.startswith(f"{name}_") and key[-1].isdigit())
    return Classifier(
        shape=tuple(int(size) for size in arrays["shape"]),
        classes=weights[-1].size,  # the last weight is the bias of the classes
        normalized=name == "main",
        weights=weights,
        accuracy=float(arrays[f"{name}_accuracy"]),
    )


def _digest(dataset: Dataset) -> str:
    """Of all that a judge is made from: the data set's own hash is of the test part, too, which it never sees."""
    digest = hashlib.sha256(f"{ARCHITECTURE} {training.STEPS} {dataset.classes}".encode())
    for part in (dataset.train, dataset.val):
        for array in (part.x, part.y):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _check(dataset: Dataset) -> None:
    shape = dataset.input_shape
    if len(shape) != 3 or min(shape[:2]) < SMALLEST:
        raise InvalidData(
            f"a judge needs images of shape (height, width, channels), at least {SMALLEST}×{SMALLEST}, received {shape}"
        )
    low, high = float(dataset.train.x.min()), float(dataset.train.x.max())
    if not (low >= -1 and high <= 1):
        raise InvalidData(f"a judge needs images in [-1, 1], received values from {low:.6g} to {high:.6g}; scale them")
