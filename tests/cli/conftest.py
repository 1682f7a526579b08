import sys

import pytest

from evenbatch import cli


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Runs a command in an empty directory; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*words):
        monkeypatch.setattr(sys, "argv", ["evenbatch", *map(str, words)])
        code = cli._run()
        return code, *capsys.readouterr()

    return command
