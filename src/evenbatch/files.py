"""Files that appear whole or not at all, and JSON that every reader accepts.

A file is written beside its place under a name with `.partial` in it and then renamed, so that a kill at any moment
leaves either the old file or the new one. JSON is strict: a number that is missing or not finite is `null`.
"""

import csv
import errno
import io
import json
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evenbatch.errors import StorageError


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a path beside `path` and then renames that file to `path`.

    For directories of our own: what a killed process left there is replaced.

    Raises:
        StorageError: the file could not be written; nothing of it is left.
    """
    _write_by(path.with_name(f"{path.stem}.partial{path.suffix}"), path, write)


def write_among_users_files(path: Path, write: Callable[[Path], object]) -> None:
    """The same where other files are the user's: under a name that none of them has.

    Raises:
        StorageError: the file could not be written; nothing of it is left.
    """
    _write_by(path.with_name(f".{path.stem}.{secrets.token_hex(4)}.partial{path.suffix}"), path, write)


def _write_by(partial: Path, path: Path, write: Callable[[Path], object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(partial)
        partial.replace(path)
    except OSError as error:
        _discard(partial)
        raise storage_error(path, error) from error
    except BaseException:
        _discard(partial)
        raise


def _discard(partial: Path) -> None:
    try:
        partial.unlink(missing_ok=True)
    except OSError:
        return  # the directory itself is gone or closed to us: nothing of ours is left in it


def storage_error(path: Path, error: OSError) -> StorageError:
    """The sentence for a file that could not be written."""
    hints = {
        errno.ENOSPC: "free some space there",
        errno.EDQUOT: "free some of your quota there",
        errno.EACCES: "choose a directory that you may write to",
        errno.EROFS: "choose a directory that you may write to",
        errno.EPERM: "choose a directory that you may write to",
        errno.ENOTDIR: "choose a directory whose parents are directories",
        errno.EEXIST: "choose a directory whose parents are directories",
    }
    reason = error.strerror or str(error)
    hint = hints.get(error.errno or 0, "make room for it or choose another directory")
    return StorageError(f"cannot write {path}: {reason}; {hint} and run the same command again")


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Writes bytes, whole or not at all."""
    write_whole(path, lambda partial: partial.write_bytes(content))


def strict(value: Any) -> Any:
    """The same JSON value with `None` for every number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def dump_json(value: Any) -> str:
    """Strict JSON text with an indent of two."""
    return json.dumps(strict(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON, whole or not at all."""
    write_text(path, dump_json(value))


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        StorageError: the file cannot be read or is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}") from error


def csv_text(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> str:
    """CSV of rows; a missing number is an empty cell. Numbers keep every digit."""
    names = list(columns) if columns is not None else list(rows[0]) if rows else []
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow(["" if strict(row.get(name)) is None else row[name] for name in names])
    return out.getvalue()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], columns: Iterable[str] | None = None) -> None:
    """Writes rows as CSV, whole or not at all."""
    write_text(path, csv_text(rows, columns))


def read_csv(path: Path) -> list[dict[str, Any]]:
    """Rows of a CSV that `write_csv` wrote: numbers as numbers, an empty cell as `None`.

    Raises:
        StorageError: the file cannot be read or is no CSV.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [{key: _cell(text) for key, text in row.items()} for row in csv.DictReader(file)]
    except (OSError, ValueError, csv.Error) as error:
        raise StorageError(f"cannot read {path}: {error}") from error


def _cell(text: str | None) -> Any:
    if not text:  # an empty cell, or a row that is short of it
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
