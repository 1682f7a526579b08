"""Models in `.keras` files: read without running code that a file brings along, written whole and read back.

A file may bring code in a Lambda layer. It is neither loaded nor run unless asked for (Keras' safe mode).
"""

import contextlib
import importlib
import os
import re
import sys
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import numpy as np

import evenbatch.layers  # noqa: F401 - registers our layers, so that files that hold them can be read
from evenbatch import files
from evenbatch.errors import InvalidArgument, StorageError, UnsupportedModel
from evenbatch.sites import sites

_NEVER_TRAINED = "Skipping variable loading for optimizer .* whereas the saved optimizer has [0-2] variables"
"""What Keras warns of a model that was compiled and not trained: its optimizer has no state that could be lost."""


def import_modules(names: Iterable[str]) -> None:
    """Imports modules of the user's, from the current directory too: they register the classes that a model holds.

    Raises:
        InvalidArgument: one of them cannot be imported.
    """
    for name in names:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        try:
            with contextlib.redirect_stdout(sys.stderr):  # standard output is for what was asked for
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise InvalidArgument(
                f"--import must name a module that can be imported, received {name!r}: "
                f"{type(error).__name__}: {' '.join(str(error).split())}"
            ) from error


def read(path: Path, *, unsafe: bool = False) -> Any:
    """The model in a file.

    Args:
        path: A `.keras` file.
        unsafe: Whether to load Lambda layers, whose code comes from the file.

    Raises:
        InvalidArgument: it is no `.keras` file.
        StorageError: it is missing, damaged or cut off.
        UnsupportedModel: it holds code, or classes that nobody has registered.
    """
    _require_whole(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _NEVER_TRAINED)
            return keras.models.load_model(path, safe_mode=not unsafe)
    except Exception as error:
        raise _sentence(path, error) from error


def write(model: Any, path: Path, *, unsafe: bool = False) -> None:
    """Writes a model, whole or not at all: what was written is read again before it takes its place.

    Args:
        model: A built model.
        path: Where to; a file that is there is replaced.
        unsafe: Whether the model may be read again with code in it.

    Raises:
        StorageError: the file could not be written.
        UnsupportedModel: the file would not hold the model.
    """

    def save(partial: Path) -> None:
        model.save(partial)
        again = read(partial, unsafe=unsafe)
        if _layers(again) != _layers(model) or not _equal_weights(again, model):
            raise UnsupportedModel(
                f"{path} was not written, since it would not hold the new model: a class of it makes its layers in its "
                "own constructor; let the constructor take them, and its configuration hold them"
            )

    files.write_among_users_files(path, save)


def require_free(path: Path, *, force: bool, suffix: str = ".keras") -> None:
    """Checks that a file, of a model or of another kind, may be written to `path`, before any work is done for it.

    Raises:
        InvalidArgument: it does not end in `suffix`.
        StorageError: there is a file already and `force` is False, it is a directory, or there is none to put it in.
    """
    if path.suffix != suffix:
        raise InvalidArgument(f"the output must be a file that ends in {suffix}, received {str(path)!r}")
    if _kind(path) == "a directory":
        raise StorageError(f"{path} is a directory; name a file that ends in {suffix}")
    if _kind(path.parent) != "a directory":
        raise StorageError(f"the directory {path.parent} does not exist; make it first, or name another one")
    if os.path.lexists(path) and not force:
        raise StorageError(f"{path} exists; choose another name, or replace it with --force")


def _require_whole(path: Path) -> None:
    if path.suffix != ".keras":
        raise InvalidArgument(
            f"the model must be a file that ends in .keras, received {str(path)!r}; "
            "load any other in Python and save it with model.save('NAME.keras')"
        )
    if (kind := _kind(path)) != "a file":
        raise StorageError(f"{path} {f'is {kind}' if kind else 'does not exist'}; name a .keras file")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip() or ("config.json" not in archive.namelist() and "config.json, missing")
    except Exception as error:  # a damaged archive shows as any error
        raise StorageError(f"{path} is no .keras file, or it was cut off ({error}); save or copy it again") from error
    if damaged:
        raise StorageError(f"{path} is damaged (in {damaged}); save or copy it again")


def _kind(path: Path) -> str:
    """What there is at a path; nothing where there is none.

    Raises:
        StorageError: it cannot be told, since the name is too long or a directory is closed to us.
    """
    try:
        return "a file" if path.is_file() else "a directory" if path.is_dir() else ""
    except OSError as error:
        raise StorageError(f"cannot look at {path}: {error.strerror}; name another .keras file") from error


def _sentence(path: Path, error: Exception) -> Exception:
    """What the user is told where Keras cannot read a file."""
    text = str(error)
    if "safe_mode" in text:
        return UnsupportedModel(
            f"{path} holds a Lambda layer, whose code comes with the file and would be loaded; where you trust the "
            "file, pass --unsafe"
        )
    missing = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
    if missing:
        return UnsupportedModel(
            f"{path} holds {missing[1]!r}, which is not known here; decorate it with "
            "@keras.saving.register_keras_serializable() and name its module with --import"
        )
    if isinstance(error, OSError):
        return StorageError(f"{path} cannot be read ({_first_line(text)}); save or copy it again")
    return UnsupportedModel(
        f"{path} cannot be loaded by Keras {keras.__version__} ({_first_line(text)}); save it again with this version"
    )


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:300]


def _layers(model: Any) -> list[tuple[str, str]]:
    return [(site.path, type(site.layer).__name__) for site in sites(model)]


def _equal_weights(one: Any, other: Any) -> bool:
    pairs = zip(one.get_weights(), other.get_weights(), strict=True)
    return len(one.weights) == len(other.weights) and all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
