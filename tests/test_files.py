import errno
import json
import os
import resource
import subprocess
import sys

import pytest

from evenbatch import files
from evenbatch.errors import StorageError


def test_a_file_appears_whole(tmp_path):
    files.write_text(tmp_path / "new" / "a.txt", "hello ×")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "hello ×"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def fail(partial):
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"cannot write .*a.txt: No space left on device; free some space there"):
        files.write_whole(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_another_error_leaves_nothing_either(tmp_path):
    def fail(partial):
        partial.write_text("half")
        raise KeyError("other")

    with pytest.raises(KeyError):
        files.write_whole(tmp_path / "a.txt", fail)
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_place_of_a_directory_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="choose a directory whose parents are directories"):
        files.write_text(tmp_path / "file" / "a.txt", "x")


def test_a_device_without_room_is_one_sentence_and_leaves_nothing(tmp_path):
    """A real limit of the operating system on what this process may write, in a process of its own."""
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from evenbatch import files; from evenbatch.errors import StorageError\n"
        "try: files.write_bytes(Path(sys.argv[1]), b'x' * 5000)\n"
        "except StorageError as error: print(error)\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    program = [sys.executable, "-c", f"import sys; sys.argv[0] = 'evenbatch'\n{code}", str(tmp_path / "a.bin")]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert "cannot write" in done.stdout
    assert "File too large" in done.stdout
    assert os.listdir(tmp_path) == []


def test_json_is_strict():
    text = files.dump_json({"a": float("nan"), "b": [1.5, float("inf")], "c": (1, None)})
    assert json.loads(text) == {"a": None, "b": [1.5, None], "c": [1, None]}


def test_csv_keeps_every_digit_and_an_empty_cell_for_what_is_missing(tmp_path):
    rows = [{"epoch": 1, "loss": 0.1 + 0.2, "name": "a, b"}, {"epoch": 2, "loss": float("nan"), "name": "c"}]
    files.write_csv(tmp_path / "a.csv", rows)
    assert files.read_csv(tmp_path / "a.csv") == [rows[0], {"epoch": 2, "loss": None, "name": "c"}]


@pytest.mark.parametrize("content", [None, "{", "\x00"])
def test_json_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StorageError, match=r"cannot read .*a.json"):
        files.read_json(path)


def test_a_file_of_the_users_with_the_name_of_a_temporary_one_is_left_alone(tmp_path):
    mine = tmp_path / "result.partial.json"
    mine.write_text("mine")
    files.write_among_users_files(tmp_path / "result.json", lambda partial: partial.write_text("new"))
    assert (mine.read_text(), (tmp_path / "result.json").read_text()) == ("mine", "new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.json", "result.partial.json"]
