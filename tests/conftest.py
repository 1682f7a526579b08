"""What all tests share: slow ones last, small data, small plans."""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evenbatch import cli
from evenbatch.datasets import Dataset, prepare
from evenbatch.study.design import design
from evenbatch.study.spec import Plan


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: "slow" in item.keywords)


@pytest.fixture(scope="session")
def arrays() -> dict[str, Any]:
    """Three classes of noisy 8×8 images, easy to tell apart."""
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    x = rng.normal(0.3, 0.1, (120, 8, 8)) + 0.3 * (np.arange(8) % 3 == y[:, None])[:, :, None]
    return {
        "x_train": x[:90].astype("float32"),
        "y_train": y[:90],
        "x_test": x[90:].astype("float32"),
        "y_test": y[90:],
    }


@pytest.fixture
def small(arrays: dict[str, Any]) -> Callable[..., Dataset]:
    """The small data in the form that a recipe is fed."""
    return lambda inputs="vector": prepare("small", arrays, inputs)


@pytest.fixture
def small_file(arrays: dict[str, Any], tmp_path: Path) -> Path:
    """The small data as a file of the user's."""
    path = tmp_path / "small.npz"
    np.savez(path, **arrays)
    return path


@pytest.fixture
def plan_of(small: Callable[..., Dataset]) -> Callable[..., Plan]:
    """A plan on the small data: `plan_of("mlp", epochs=3)`."""

    def plan(recipe: Any = "mlp", **settings: Any) -> Plan:
        inputs = "image" if recipe in ("cnn", "resnet20") else "vector"
        defaults = {"seeds": 1, "epochs": 2, "batch_size": 16, "inputs": inputs}
        return design(recipe, data=small(inputs), **{**defaults, **settings})

    return plan


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Any]:
    """Runs a command in an empty directory; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def command(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evenbatch", *map(str, words)])
        code = cli._run()
        return code, *capsys.readouterr()

    return command
