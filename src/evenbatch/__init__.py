"""evenbatch: batch normalization for Keras 3, done as a product.

Importing it registers the layers with Keras, so that models saved with them can be loaded. The studies and their report
load when they are first used; they need the extra `lab`.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evenbatch._version import __version__
from evenbatch.errors import MissingExtra

if TYPE_CHECKING:
    from evenbatch.layers import BatchNormalization, ConditionalBatchNormalization, GhostBatchNormalization
    from evenbatch.sharing import local_statistics, replicas
    from evenbatch.study import Arm, Study, compare
    from evenbatch.surgery import Recalibrate, fold, recalibrate, to_keras, upgrade

__all__ = [
    "Arm",
    "BatchNormalization",
    "ConditionalBatchNormalization",
    "GhostBatchNormalization",
    "Recalibrate",
    "Study",
    "__version__",
    "compare",
    "fold",
    "local_statistics",
    "recalibrate",
    "replicas",
    "to_keras",
    "upgrade",
]

_HOMES = {
    "Arm": "evenbatch.study",
    "BatchNormalization": "evenbatch.layers",
    "ConditionalBatchNormalization": "evenbatch.layers",
    "GhostBatchNormalization": "evenbatch.layers",
    "Recalibrate": "evenbatch.surgery",
    "Study": "evenbatch.study",
    "compare": "evenbatch.study",
    "fold": "evenbatch.surgery",
    "local_statistics": "evenbatch.sharing",
    "recalibrate": "evenbatch.surgery",
    "replicas": "evenbatch.sharing",
    "to_keras": "evenbatch.surgery",
    "upgrade": "evenbatch.surgery",
}


def __getattr__(name: str) -> Any:
    """Loads a public name from its home when it is first used (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'evenbatch' has no attribute {name!r}")
    try:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if _HOMES[name] != "evenbatch.study" or (error.name or "").startswith("evenbatch"):
            raise
        raise MissingExtra(
            f"eb.{name} needs {error.name!r}, which is not installed: pip install 'evenbatch[lab]'"
        ) from error
    globals()[name] = value
    return value


def _is_the_command() -> bool:
    """Whether this process is the `evenbatch` command, which must answer `--help` without loading a backend."""
    return Path(sys.argv[0] if sys.argv else "").stem == "evenbatch" or sys.orig_argv[1:3] == ["-m", "evenbatch"]


if not _is_the_command():
    importlib.import_module("evenbatch.layers")
