"""Pictures of generated images: every arm's last ones side by side, and how those of the first seed came about."""

import base64
from dataclasses import dataclass
from pathlib import Path

from evenbatch.errors import StorageError
from evenbatch.report import question
from evenbatch.report.by_epoch import series
from evenbatch.report.question import Question
from evenbatch.report.reading import StudyFiles, Trial
from evenbatch.report.sentences import number, quoted

MOST_SEEDS = 3
PARTS = (0.0, 0.25, 0.5, 1.0)  # of the way from the first picture to the last


@dataclass(frozen=True)
class Cell:
    """A picture and what it is; `source` is None where there is no picture, and `note` says why.

    Args:
        label: What stands under it.
        note: What stands after that: its distance and what befell it.
        alternative: All of that and the seed, for who does not see it.
        source: The picture as a data URI.
    """

    label: str
    note: str
    alternative: str
    source: str | None


@dataclass(frozen=True)
class Line:
    """Pictures beside one another."""

    title: str
    cells: list[Cell]


def rows(study: StudyFiles) -> list[Line]:
    """A line for each of the first seeds, with the last picture of every arm; none where nothing is generated."""
    if not study.adversarial:
        return []
    asked = question.of(study)
    return [
        Line(f"Seed {seed}", [_last(asked, trial) for trial in study.trials if trial.seed == seed])
        for seed in study.seeds[:MOST_SEEDS]
    ]


def course(study: StudyFiles) -> list[Line]:
    """A line for each arm: the first seed's pictures from its first epoch to its last."""
    if not study.adversarial:
        return []
    asked = question.of(study)
    first = [trial for trial in study.trials if trial.seed == study.seeds[0] and len(trial.grids) > 1]
    return [
        Line(trial.arm, [_cell(asked, trial, epoch, f"epoch {epoch}") for epoch in _some(trial)]) for trial in first
    ]


def _some(trial: Trial) -> list[int]:
    """The epochs of a few pictures, evenly spread."""
    epochs = list(trial.grids)
    return list(dict.fromkeys(epochs[round(part * (len(epochs) - 1))] for part in PARTS))


def _last(asked: Question, trial: Trial) -> Cell:
    if trial.grids:
        return _cell(asked, trial, max(trial.grids), trial.arm)
    reasons = {"failed": "no picture: the trial failed", "diverged": "no picture: the trial diverged at once"}
    why = reasons.get(trial.record["outcome"], "the picture is missing")
    return Cell(trial.arm, why, f"{quoted(trial.arm)}, seed {trial.seed}: {why}", None)


def _cell(asked: Question, trial: Trial, epoch: int, label: str) -> Cell:
    note = ", ".join([*_distance(asked, trial, epoch), *_fate(trial, epoch)])
    whole = f"Samples of {quoted(trial.arm)}, seed {trial.seed}, epoch {epoch}" + (f": {note}" if note else "")
    return Cell(label, note, whole, _data_uri(trial.grids[epoch]))


def _distance(asked: Question, trial: Trial, epoch: int) -> list[str]:
    """The distance at that epoch, or at the last one before it that was measured."""
    measured = {at: value for at, value in series(trial, asked.column).items() if at <= epoch}
    if not measured:
        return []
    last = max(measured)
    return [f"distance {number(measured[last])}" + ("" if last == epoch else f" at epoch {last}")]


def _fate(trial: Trial, epoch: int) -> list[str]:
    """What has befallen the trial by that epoch."""
    collapsed = trial.collapsed is not None and epoch >= trial.collapsed
    diverged = trial.diverged and epoch >= max(trial.grids)
    return [
        *([f"collapsed at epoch {trial.collapsed}"] if collapsed else []),
        *([f"diverged at epoch {trial.record['epochs']}"] if diverged else []),
    ]


def _data_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"
