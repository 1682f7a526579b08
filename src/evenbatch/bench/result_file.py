"""The file that the numbers go to: tried before anything is measured, written whole."""

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
    trial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise StorageError(f"--json: {files.storage_error(path, error)}") from error
