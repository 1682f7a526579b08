"""Which of Keras' backends runs, told without loading it.

Keras chooses at import: `KERAS_BACKEND`, then `~/.keras/keras.json`, then TensorFlow. evenbatch supports TensorFlow,
JAX and PyTorch.
"""

import importlib.metadata
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from evenbatch.errors import BackendUnavailable, unknown

BACKENDS = ("tensorflow", "jax", "torch")


def chosen() -> str:
    """The backend's name as Keras will choose it, or has chosen it.

    Raises:
        BackendUnavailable: it is none of `BACKENDS`, or it is not installed.
    """
    name = _loaded() or os.environ.get("KERAS_BACKEND") or _configured() or "tensorflow"
    if name not in BACKENDS:
        raise BackendUnavailable(f"{unknown('Keras backend', name, BACKENDS)}; set KERAS_BACKEND to one of them")
    if importlib.util.find_spec(name) is None:
        raise BackendUnavailable(
            f"the Keras backend is {name!r}, which is not installed: "
            f"pip install 'evenbatch[{name}]', or set KERAS_BACKEND to one of {', '.join(BACKENDS)} that is"
        )
    return name


def _loaded() -> str | None:
    backend = getattr(sys.modules.get("keras"), "backend", None)
    return str(backend.backend()) if backend is not None else None


def _configured() -> str | None:
    try:
        home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        settings: Any = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        return str(settings["backend"])
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):
        return None  # no settings, or unreadable ones: Keras too goes on with its default


def versions() -> dict[str, str]:
    """The versions that numbers depend on: Python, evenbatch, Keras, NumPy and the backend."""
    names = ["evenbatch", "keras", "numpy", chosen()]
    return {"python": ".".join(map(str, sys.version_info[:3])), **{name: _version(name) for name in names}}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        # A nightly or a hardware build goes by another distribution name.
        found = importlib.metadata.packages_distributions().get(name, [])
        return importlib.metadata.version(found[0]) if found else "unknown"
