"""The tables of the page: text cells, ready to be shown."""

from collections.abc import Callable
from dataclasses import dataclass

from evenbatch.report import sentences
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import (
    SPACE,
    Format,
    level,
    number,
    percent,
    signed_number,
    signed_points,
)


@dataclass(frozen=True)
class Measure:
    """A number of `summary.json` as the tables show it."""

    name: str
    label: str
    form: Format
    difference: Format
    more_is_better: bool


@dataclass(frozen=True)
class Table:
    """A caption, headings, and rows of as many cells, the first of which heads its row."""

    caption: str
    head: list[str]
    rows: list[list[str]]


def _share(name: str, label: str) -> Measure:
    return Measure(name, label, percent, signed_points, more_is_better=True)


def _quantity(name: str, label: str) -> Measure:
    return Measure(name, label, number, signed_number, more_is_better=False)


MEASURES = (
    _share("final_accuracy", "Final validation accuracy"),
    _share("best_accuracy", "Best validation accuracy"),
    _share("test_accuracy", "Test accuracy"),
    _quantity("final_loss", "Final training loss"),
    _quantity("final_val_loss", "Final validation loss"),
    _quantity("oscillation", "Total variation of the training loss"),
    _quantity("rises", "Rises of the training loss"),
)


def arms_table(study: StudyFiles) -> Table:
    """What each arm came to: a row for each quantity, a column for each arm."""
    arms = study.summary["arms"]
    shown = [measure for measure in MEASURES if any(arm[measure.name]["n"] for arm in arms.values())]
    rows = [
        *([m.label, *(_distribution(arm[m.name], m.form) for arm in arms.values())] for m in shown),
        _row("Diverged", arms, _diverged),
        *([_row("Failed", arms, _failed)] if any(arm["failed"] for arm in arms.values()) else []),
        *(_reaching(index, threshold, arms) for index, threshold in enumerate(study.summary["thresholds"])),
        ["Time of a step", *(_step(study, name) for name in arms)],
        _row("Parameters", arms, lambda arm: number(arm["parameters"])),
    ]
    return Table("Median [minimum … maximum] over seeds", ["", *arms], rows)


def pair_tables(study: StudyFiles) -> list[Table]:
    """For each pair, every measure's paired comparison."""
    return [
        Table(
            f"{pair['arm']} minus {pair['baseline']}, paired by seed",
            [
                "Measure",
                "Mean difference",
                "95 % t interval",
                "95 % BCa interval",
                "Sign-flip p",
                "Better / tie / worse",
            ],
            [
                *(_comparison(m, pair[m.name]) for m in MEASURES if pair[m.name]["n"]),
                *map(_earlier, pair["epochs_to"]),
            ],
        )
        for pair in study.summary["pairs"]
    ]


def trials_table(study: StudyFiles) -> Table:
    """Every trial, those that diverged and failed too."""
    rows = [
        [
            trial["arm"],
            str(trial["seed"]),
            trial["outcome"],
            str(trial["epochs"]),
            percent(trial["final_accuracy"]),
            percent(trial["best_accuracy"]),
            percent(trial["test_accuracy"]),
            number(trial["final_loss"]),
            trial["error"] or "",
        ]
        for trial in study.summary["trials"]
    ]
    head = ["Arm", "Seed", "Outcome", "Epochs", "Final", "Best", "Test", "Training loss", "Error"]
    return Table(f"All {len(rows)} trials", head, rows)


def _row(label: str, arms: dict[str, Row], cell: Callable[[Row], str]) -> list[str]:
    return [label, *map(cell, arms.values())]


def _distribution(found: Row, form: Format) -> str:
    if not found["n"]:
        return sentences.MISSING
    middle = form(found["median"])
    if found["n"] == 1:
        return middle
    ends = (form(found[end]).split(SPACE)[0] for end in ("min", "max"))  # the middle has the unit
    return f"{middle} [{f'{SPACE}…{SPACE}'.join(ends)}]"


def _diverged(arm: Row) -> str:
    within = sentences.interval(arm["diverged_rate_interval"], level)
    return f"{arm['diverged']} of {arm['trials']} (rate {within.replace(' ', SPACE)})"


def _failed(arm: Row) -> str:
    return f"{arm['failed']} of {arm['trials']}"


def _reaching(index: int, threshold: float, arms: dict[str, Row]) -> list[str]:
    return _row(f"Epochs to {level(threshold)}", arms, lambda arm: _epochs_to(arm["epochs_to"][index]))


def _epochs_to(found: Row) -> str:
    if not found["n"]:
        return "–"
    missed = found["n"] - found["reached"]
    if not missed:
        return sentences.epochs(found["median"])
    late = f"not reached in {missed} of {found['n']}"
    return late if found["median"] is None else f"{sentences.epochs(found['median'])} ({late})"


def _step(study: StudyFiles, arm: str) -> str:
    return _distribution(study.summary["timing"]["step_seconds"][arm], sentences.milliseconds)


def _comparison(measure: Measure, found: Row) -> list[str]:
    better, worse = (found["above"], found["below"])[:: 1 if measure.more_is_better else -1]
    unit = " (points)" if measure.difference is signed_points else ""
    return [
        measure.label + unit,
        measure.difference(found["mean"]),
        sentences.interval(found["t_interval"], measure.difference),
        sentences.interval(found["bca_interval"], measure.difference),
        sentences.p_value(found["sign_flip_p"]),
        f"{better} / {found['equal']} / {worse}",
    ]


def _earlier(found: Row) -> list[str]:
    gap = [""] * 4
    counts = f"{found['earlier']} / {found['equal']} / {found['later']}"
    return [f"Epochs to {level(found['threshold'])}", *gap, counts]
