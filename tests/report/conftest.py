"""Studies that were never trained: directories with made-up numbers, summarized by the real summary."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import made_up_gan
import pytest

from evenbatch import files
from evenbatch.report import reading
from evenbatch.report.figures import Figure, draw
from evenbatch.report.reading import StudyFiles
from evenbatch.study.summary import summarize

HTML = "ValueError: <script>fail()</script> & <b>bold</b>"
RISES = {"with": 0.95, "without": 0.5}  # where an arm's accuracy tends to; any other arm: 0.7


def history(arm: str, seed: int, epochs: int) -> list[dict[str, Any]]:
    """Accuracies that rise to the arm's level, losses that fall, both a little different for each seed."""
    rows = []
    for epoch in range(1, epochs + 1):
        share = 1 - 0.6**epoch
        accuracy = 0.1 + (RISES.get(arm, 0.7) - 0.1 + 0.002 * seed) * share
        loss = 2.3 * (1 - 0.9 * share) + 0.01 * seed
        row = {"accuracy": accuracy, "loss": loss, "val_accuracy": accuracy - 0.01, "val_loss": loss + 0.1}
        rows.append({"epoch": epoch, **row, "seconds": 0.02 + 0.001 * seed})
    return rows


def specification(arms: list[str], pairs: list[tuple[str, str]], seeds: int, epochs: int) -> dict[str, Any]:
    settings = {"initial_scale": 1.0, "learning_rate": 0.1}
    return {
        "recipe": "mlp",
        "options": {},
        "arms": [{"name": arm, "normalize": "none" if arm == "without" else "batch", **settings} for arm in arms],
        "pairs": [{"arm": arm, "baseline": baseline} for arm, baseline in pairs],
        "seeds": list(range(seeds)),
        "data": {
            "name": "made-up",
            "sha256": "ab" * 32,
            "train": 100,
            "val": 50,
            "test": 0,
            "input_shape": [64],
            "classes": 10,
            "majority": 1 / 10,
        },
        "epochs": epochs,
        "batch_size": 10,
        "optimizer": "sgd",
        "threads": 1,
        "versions": {"python": "3.11", "evenbatch": "0"},
        "backend": "tensorflow",
    }


def write_trial(folder: Path, arm: str, seed: int, outcome: str, epochs: int) -> None:
    """A trial that finished; or diverged in its second epoch, or in its first if there is no other; or failed."""
    rows = [] if outcome == "failed" else history(arm, seed, epochs)
    if outcome == "diverged":
        rows = rows[:2]
        rows[-1] |= {"loss": math.nan, "val_loss": math.nan}
    record = {
        "arm": arm,
        "seed": seed,
        "outcome": outcome,
        "epochs": len(rows),
        "error": HTML if outcome == "failed" else None,
        "parameters": None if outcome == "failed" else 1234,
        "test": None,
        "initial_weights": {},
        "device": None if outcome == "failed" else "CPU",
        "timing": None
        if outcome == "failed"
        else {
            "step_seconds": 0.002 + 0.0001 * seed if len(rows) > 1 else None,
            "train_seconds": 1.0,
            "trial_seconds": 2.0,
        },
    }
    where = folder / "trials" / f"{arm}-s{seed}"
    files.write_json(where / "trial.json", record)
    if rows:
        files.write_csv(where / "history.csv", rows)
    if outcome == "finished" and arm == "dropped":
        probe = {"dropout_before": 0.5, "inference_over_training": 0.4, "inference_over_moving": 0.5}
        free = {"dropout_before": 0.0, "inference_over_training": 1.0, "inference_over_moving": 0.9}
        files.write_csv(where / "probes.csv", [{"layer": "n1", **free}, {"layer": "n2", **probe}])


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """A study's directory: `make(seeds=1, outcomes={("with", 0): "diverged"})`."""

    def study(
        *,
        arms: tuple[str, ...] = ("with", "without"),
        pairs: list[tuple[str, str]] | None = None,
        seeds: int = 6,
        epochs: int = 8,
        outcomes: dict[tuple[str, int], str] | None = None,
    ) -> Path:
        if pairs is None:
            pairs = [(arm, arms[-1]) for arm in arms[:-1]]
        record = {"command": "evenbatch compare <mlp>", "git": None, "created": "2026-01-01T00:00:00Z"}
        spec = specification(list(arms), pairs, seeds, epochs)
        content = {"format": 1, "specification": spec, "record": record}
        files.write_json(tmp_path / "study.json", content)
        for arm in arms:
            for seed in range(seeds):
                outcome = (outcomes or {}).get((arm, seed), "finished")
                write_trial(tmp_path, arm, seed, outcome, epochs)
        files.write_json(tmp_path / "summary.json", summarize(tmp_path))
        return tmp_path

    return study


@pytest.fixture
def read(make: Callable[..., Path]) -> Callable[..., StudyFiles]:
    """The same, read."""
    return lambda **settings: reading.read(make(**settings))


@pytest.fixture
def figures(read: Callable[..., StudyFiles]) -> Callable[..., dict[str, Figure]]:
    """The same, drawn: figures by name."""
    return lambda **settings: {figure.name: figure for figure in draw(read(**settings))}


ALL_OF = {(arm, seed): "diverged" for arm in ("with", "without") for seed in range(6)}
ODD: dict[str, dict[str, Any]] = {
    "usual": {},
    "one seed": {"seeds": 1},
    "one epoch": {"seeds": 2, "epochs": 1},
    "one of each": {"seeds": 1, "epochs": 1},
    "no pairs": {"arms": ("with",)},
    "four arms": {"arms": ("with", "<script>", "a, 'b'", "without"), "seeds": 2},
    "some diverged": {"outcomes": {("without", 0): "diverged", ("without", 3): "diverged"}},
    "all diverged": {"outcomes": ALL_OF},
    "an arm failed": {"seeds": 2, "outcomes": {("with", 0): "failed", ("with", 1): "failed"}},
    "dropout": {"arms": ("dropped", "without")},
}


@pytest.fixture(params=ODD.values(), ids=ODD.keys())
def odd(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of a study that a report must bear."""
    settings: dict[str, Any] = request.param
    return settings


@pytest.fixture
def make_gan(tmp_path: Path) -> Callable[..., Path]:
    """A directory of an adversarial study: `make_gan(seeds=1, outcomes={("batch", 0): "collapsed"})`."""

    def study(
        *,
        arms: tuple[str, ...] = tuple(made_up_gan.ARMS),
        pairs: list[tuple[str, str]] | None = None,
        seeds: int = 3,
        epochs: int = 8,
        outcomes: dict[tuple[str, int], str] | None = None,
    ) -> Path:
        if pairs is None:
            pairs = [pair for pair in made_up_gan.PAIRS if set(pair) <= set(arms)]
        record = {"command": "evenbatch compare gan", "git": None, "created": "2026-01-01T00:00:00Z"}
        spec = made_up_gan.specification(list(arms), pairs, seeds, epochs)
        files.write_json(tmp_path / "study.json", {"format": 1, "specification": spec, "record": record})
        for arm in arms:
            for seed in range(seeds):
                outcome = (outcomes or {}).get((arm, seed), "finished")
                made_up_gan.write_trial(tmp_path, arm, seed, outcome, epochs)
        files.write_json(tmp_path / "summary.json", summarize(tmp_path))
        return tmp_path

    return study


@pytest.fixture
def read_gan(make_gan: Callable[..., Path]) -> Callable[..., StudyFiles]:
    """The same, read."""
    return lambda **settings: reading.read(make_gan(**settings))


@pytest.fixture
def gan_figures(read_gan: Callable[..., StudyFiles]) -> Callable[..., dict[str, Figure]]:
    """The same, drawn: figures by name."""
    return lambda **settings: {figure.name: figure for figure in draw(read_gan(**settings))}


TWO = ("batch", "none")
ODD_GAN: dict[str, dict[str, Any]] = {
    "usual": {"outcomes": {("frozen discriminator", 1): "collapsed", ("no training flag", 2): "diverged"}},
    "six seeds": {"arms": TWO, "seeds": 6},
    "one seed": {"arms": TWO, "seeds": 1},
    "one epoch": {"arms": TWO, "seeds": 2, "epochs": 1},
    "one of each": {"arms": TWO, "seeds": 1, "epochs": 1},
    "one arm": {"arms": ("none",), "seeds": 2},
    "all diverged": {"arms": TWO, "outcomes": {(arm, seed): "diverged" for arm in TWO for seed in range(3)}},
    "all failed": {"arms": TWO, "outcomes": {(arm, seed): "failed" for arm in TWO for seed in range(3)}},
    "an arm failed": {"arms": TWO, "seeds": 2, "outcomes": {("batch", 0): "failed", ("batch", 1): "failed"}},
    "all collapsed": {"arms": TWO, "outcomes": {(arm, seed): "collapsed" for arm in TWO for seed in range(3)}},
    "odd names": {"arms": ("<script>", "a, 'b'"), "pairs": [("<script>", "a, 'b'")], "seeds": 2},
}


@pytest.fixture(params=ODD_GAN.values(), ids=ODD_GAN.keys())
def odd_gan(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The settings of an adversarial study that a report must bear."""
    settings: dict[str, Any] = request.param
    return settings
