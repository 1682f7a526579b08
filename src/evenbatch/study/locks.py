"""One writer a directory: whoever holds its lock."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from evenbatch import files
from evenbatch.errors import StudyConflict

STUDY, TRIAL = ".lock", "lock"
TRIAL_SECONDS = 20.0  # long enough for a worker of a killed study to notice that its parent is gone


@contextmanager
def only_writer(folder: Path, name: str, seconds: float = 0.0) -> Iterator[None]:
    """Makes the directory and holds it for this process; the operating system lets go when the process ends.

    Raises:
        StudyConflict: another process still holds it after `seconds`.
        StorageError: the directory could not be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / name, timeout=seconds)
        lock.acquire()
    except Timeout:
        raise StudyConflict(
            f"another process writes to {folder}; wait until it ends, or choose another --out"
        ) from None
    except OSError as error:
        raise files.storage_error(folder, error) from error
    try:
        yield
    finally:
        (folder / name).unlink(missing_ok=True)
        lock.release()
