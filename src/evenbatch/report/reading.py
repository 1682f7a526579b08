"""A study's directory as one typed value, which is all that the figures and the page know of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenbatch import files
from evenbatch.errors import StorageError

FORMAT = 1
JUDGED = ("judge", "floor", "ceiling")  # what the summary of an adversarial study has besides
Row = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One arm with one seed: `trial.json`, `history.csv` by epoch (no rows if it failed), and pictures by epoch."""

    arm: str
    seed: int
    record: dict[str, Any]
    history: list[Row]
    grids: dict[int, Path] = field(default_factory=dict)

    @property
    def diverged(self) -> bool:
        """Whether it stopped at a number that was not finite."""
        return bool(self.record["outcome"] == "diverged")

    @property
    def collapsed(self) -> int | None:
        """The epoch from which on a generator's images were all alike."""
        found: int | None = self.record.get("collapsed")
        return found

    @property
    def step_seconds(self) -> float | None:
        """Median time of an optimizer step."""
        found: float | None = (self.record["timing"] or {}).get("step_seconds")
        return found


@dataclass(frozen=True)
class StudyFiles:
    """What a study's files say: `study.json` in its two parts, the summary, and every trial."""

    spec: dict[str, Any]
    record: dict[str, Any]
    summary: dict[str, Any]
    trials: tuple[Trial, ...]

    @property
    def arms(self) -> list[str]:
        """Names of the arms, in the order of the specification."""
        return [arm["name"] for arm in self.spec["arms"]]

    @property
    def seeds(self) -> list[int]:
        """The seeds, in the order of the specification."""
        return list(self.spec["seeds"])

    @property
    def epochs(self) -> int:
        """The budget: epochs of a trial that neither failed nor diverged."""
        return int(self.spec["epochs"])

    @property
    def adversarial(self) -> dict[str, Any] | None:
        """The settings of an adversarial training; None for a classification."""
        found: dict[str, Any] | None = self.spec.get("adversarial")
        return found

    def of(self, arm: str) -> list[Trial]:
        """The trials of an arm, a seed each."""
        return [trial for trial in self.trials if trial.arm == arm]

    def arm(self, name: str) -> dict[str, Any]:
        """The specification of an arm."""
        return next(arm for arm in self.spec["arms"] if arm["name"] == name)

    def pair_label(self, pair: dict[str, Any]) -> str:
        """What a figure of a pair is called."""
        return f"{pair['arm']} − {pair['baseline']}"


def read(folder: Path) -> StudyFiles:
    """Reads a study.

    Raises:
        StorageError: a file is missing or damaged.
    """
    study = _json(folder / "study.json", ("specification", "record"))
    with _complete(folder / "study.json"):
        spec = study["specification"]
        names = [(arm["name"], seed) for seed in spec["seeds"] for arm in spec["arms"]]
        adversarial = spec.get("adversarial")
        if adversarial:
            adversarial["statistics"]
    keys = ("arms", "pairs", "thresholds", "trials", "timing", *(JUDGED if adversarial else ()))
    summary = _json(folder / "summary.json", keys)
    trials = tuple(_trial(folder, arm, seed) for arm, seed in names)
    return StudyFiles(spec=spec, record=study["record"], summary=summary, trials=trials)


def _trial(folder: Path, arm: str, seed: int) -> Trial:
    where = folder / "trials" / f"{arm}-s{seed}"
    record = _json(where / "trial.json", ("outcome", "epochs", "timing"), versioned=False)
    failed = record["outcome"] == "failed"
    history = [] if failed else files.read_csv(where / "history.csv")
    return Trial(arm, seed, record, history, _grids(where / "grids"))


def _grids(folder: Path) -> dict[int, Path]:
    """The pictures `epoch-001.png` and so on, in the order of the epochs."""
    numbers = {path.stem.removeprefix("epoch-"): path for path in folder.glob("epoch-*.png")}
    return dict(sorted((int(number), path) for number, path in numbers.items() if number.isdecimal()))


def _json(path: Path, keys: tuple[str, ...], *, versioned: bool = True) -> dict[str, Any]:
    content = files.read_json(path)
    with _complete(path):
        if versioned and content["format"] != FORMAT:
            raise StorageError(
                f"cannot read {path}: it has format {content['format']!r}, this version reads "
                f"{FORMAT}; run the study again with this version"
            )
        for key in keys:
            content[key]
        return dict(content)


@contextmanager
def _complete(path: Path) -> Iterator[None]:
    """Turns a missing entry of a file into the error for a damaged file."""
    try:
        yield
    except (KeyError, TypeError) as error:
        raise StorageError(f"cannot read {path}: its content is damaged ({error!r})") from error
