"""The file that the numbers go to: tried before anything is measured, written whole."""

import tempfile
from pathlib import Path

from evenbatch import files
from evenbatch.errors import StorageError


def require_writable(path: Path) -> None:
    """Refuses a file that could not be written after minutes of measuring.

    Raises:
        StorageError: it cannot be written.
    """
    if path.is_dir():
        raise StorageError(f"--json must be a file or - for standard output, received {str(path)!r}, a directory")
    # A run that fails is to leave no directory behind, so what is tried is the nearest one that exists.
    nearest = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise StorageError(f"--json: {files.storage_error(path, error)}") from error
