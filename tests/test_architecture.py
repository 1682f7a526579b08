"""The house stands: imports go down only, and what must stay light does."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "evenbatch"

# What each part may import of evenbatch, besides itself.
BELOW = {
    "_version": set(),
    "errors": set(),
    "files": {"errors"},
    "backend": {"errors"},
    "sharing": {"errors", "backend", "kernels"},
    "kernels": {"backend"},
    "processes": set(),
    "callbacks": {"errors"},
    "devices": {"errors", "backend", "processes", "callbacks"},
    "layers": {"errors", "backend", "sharing", "kernels"},
    "graph": set(),
    "sites": {"graph"},
    "surgery": {"errors", "graph", "callbacks", "kernels", "sharing", "layers", "sites"},
    "model_files": {"errors", "files", "layers", "sites"},
    "datasets": {"errors"},
    "recipes": {"errors", "layers", "datasets"},
    "probes": {"errors", "sites"},
    "gan": {"errors", "files", "backend", "graph", "sharing", "layers", "surgery", "datasets"},
    "report": {"errors", "files"},
    "study": {"errors", "files", "backend", "processes", "sharing", "devices"}
    | {"callbacks", "layers", "recipes", "datasets", "probes", "gan", "report"},
    "bench": {"errors", "files", "backend", "kernels", "layers", "datasets", "recipes"}
    | {"sites", "surgery", "model_files"},
}
EVERYTHING = {"cli", "__init__", "__main__"}


def part_of(module: str) -> str:
    """`evenbatch.study.run` belongs to `study`, `evenbatch` itself to `__init__`."""
    return [*module.split("."), "__init__"][1]


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute, so that they can be read"
            names = [f"evenbatch.{alias.name}" for alias in node.names] if node.module == "evenbatch" else [node.module]
            found |= {str(name) for name in names}
    return found


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down_only(path):
    part = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if part in EVERYTHING:
        return
    used = {part_of(name) for name in imported(path) if name.split(".")[0] == "evenbatch"} - {part}
    assert used <= BELOW[part], f"{part} may import {sorted(BELOW[part])}, not {sorted(used - BELOW[part])}"


def test_every_part_has_its_place_in_the_order():
    parts = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in modules()}
    assert parts == set(BELOW) | EVERYTHING


@pytest.mark.parametrize(
    ("part", "library"), [("report", "keras"), ("errors", "keras"), ("files", "keras"), ("backend", "keras")]
)
def test_what_reads_files_alone_never_imports_keras(part, library):
    paths = [path for path in modules() if path.relative_to(SOURCE).parts[0].removesuffix(".py") == part]
    assert paths
    assert not [path for path in paths if library in {name.split(".")[0] for name in imported(path)}]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_the_callback_module_knows_keras_callbacks(path):
    knows = "keras.callbacks.Callback" in path.read_text()
    assert knows == (path.relative_to(SOURCE).as_posix() == "callbacks.py")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compare", "--help"],
        ["train", "--help"],
        ["bench", "--help"],
        ["upgrade", "--help"],
        ["recalibrate", "--help"],
        ["sample", "--help"],
        ["--version"],
    ],
)
def test_help_loads_no_backend(arguments):
    code = (
        f"import sys; sys.argv = ['evenbatch', *{arguments}]\n"
        "from evenbatch.cli.app import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'scipy', 'altair', 'sklearn', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
