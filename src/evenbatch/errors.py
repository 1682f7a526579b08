"""What evenbatch raises, as one tree.

::

    EvenbatchError              every error that evenbatch raises on purpose
    ├── InvalidArgument         an argument is outside what is allowed      (also a ValueError)
    │   └── InvalidData         a data set cannot be used                   (also a ValueError)
    ├── BackendUnavailable      Keras' backend is none of ours, or not installed (also an ImportError)
    ├── MissingExtra            a command needs an extra that is not installed   (also an ImportError)
    ├── SharingFailed           replicas could not exchange their statistics
    ├── UnsupportedModel        a model has parts that cannot be made again or exchanged
    ├── BrokenPromise           a new model is not what was promised: a fault of evenbatch's
    ├── StudyConflict           a directory holds something else, or somebody else writes to it
    ├── StudyFailed             every trial of a study failed
    └── StorageError            a file could not be read or written whole   (also an OSError)

A message is one sentence that names the argument, what is allowed, what was received and what to do.
The command line prints it and ends with exit code 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from numbers import Integral


class EvenbatchError(Exception):
    """Every error that evenbatch raises on purpose."""


class InvalidArgument(EvenbatchError, ValueError):
    """An argument is outside what is allowed."""


class InvalidData(InvalidArgument):
    """A data set cannot be used."""


class BackendUnavailable(EvenbatchError, ImportError):
    """Keras' backend is none of TensorFlow, JAX and PyTorch, or it is not installed."""


class MissingExtra(EvenbatchError, ImportError):
    """A command needs an extra that is not installed."""


class SharingFailed(EvenbatchError):
    """Replicas could not exchange their statistics: one is gone, they differ, or a compiled function is in the way."""


class UnsupportedModel(EvenbatchError):
    """A model has parts that cannot be made again or exchanged, or is not built."""


class BrokenPromise(EvenbatchError):
    """A new model does not do what was promised of it; it was not handed out."""


class StudyConflict(EvenbatchError):
    """A study's directory holds something else, or another process writes to it."""


class StudyFailed(EvenbatchError):
    """Every trial of a study failed."""


class StorageError(EvenbatchError, OSError):
    """A file could not be read or written whole."""


def unknown(what: str, received: object, allowed: Iterable[str]) -> InvalidArgument:
    """The error for a name that is none of the `allowed` ones; it suggests the nearest."""
    names = list(allowed)
    near = get_close_matches(str(received), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InvalidArgument(f"unknown {what} {received!r}, allowed: {', '.join(names)}{hint}")


def require_share(name: str, value: object) -> float:
    """The value, where it is a number in [0, 1).

    Raises:
        InvalidArgument: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise InvalidArgument(f"{name} must be a number in [0, 1), received {value!r}")
    return value


def require_count(name: str, value: object) -> int:
    """The value, where it is an integer of at least 1.

    Raises:
        InvalidArgument: it is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise InvalidArgument(f"{name} must be an integer of at least 1, received {value!r}")
    return int(value)
