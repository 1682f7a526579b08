"""The tables of the page: text cells, ready to be shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evenbatch.report import question, sentences
from evenbatch.report.question import Measure
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, Format, level, number


@dataclass(frozen=True)
class Table:
    """A caption, headings, and rows of as many cells, the first of which heads its row."""

    caption: str
    head: list[str]
    rows: list[list[str]]


def arms_table(study: StudyFiles) -> Table:
    """What each arm came to: a row for each quantity, a column for each arm and each end of the scale."""
    asked, arms, marks = question.of(study), study.summary["arms"], question.marks(study)
    shown = [measure for measure in asked.measures if any(arm[measure.name]["n"] for arm in arms.values())]
    rows = [
        *([m.label, *(_distribution(arm[m.name], m.unit.form) for arm in arms.values())] for m in shown),
        *(_row(word.capitalize(), arms, partial(_rate, word)) for word in asked.events),
        *([_row("Failed", arms, _failed)] if any(arm["failed"] for arm in arms.values()) else []),
        *(_reaching(index, threshold, arms) for index, threshold in enumerate(study.summary["thresholds"])),
        ["Time of a step", *(_step(study, name) for name in arms)],
        _row("Parameters", arms, lambda arm: number(arm["parameters"])),
    ]
    scales = [[_mark(measure, values) for values in marks.values()] for measure in shown]
    nothing = [""] * len(marks)
    beside = [*scales, *([nothing] * (len(rows) - len(scales)))]
    whole = [[*row, *cells] for row, cells in zip(rows, beside, strict=True)]
    return Table("Median [minimum … maximum] over seeds", ["", *arms, *marks], whole)


def pair_tables(study: StudyFiles) -> list[Table]:
    """For each pair that has anything to compare, every measure's paired comparison."""
    tables = [_pair_table(pair, question.of(study).measures) for pair in study.summary["pairs"]]
    return [table for table in tables if table.rows]


def _pair_table(pair: Row, measures: Sequence[Measure]) -> Table:
    return Table(
        f"{pair['arm']} minus {pair['baseline']}, paired by seed",
        ["Measure", "Mean difference", "95 % t interval", "95 % BCa interval", "Sign-flip p", "Better / tie / worse"],
        [*(_comparison(m, pair[m.name]) for m in measures if pair[m.name]["n"]), *map(_earlier, pair["epochs_to"])],
    )


def trials_table(study: StudyFiles) -> Table:
    """Every trial, those that diverged and failed too."""
    asked = question.of(study)
    listed = [(heading, asked.measure(name)) for heading, name in asked.each_trial]
    rows = [
        [
            trial["arm"],
            str(trial["seed"]),
            _outcome(trial),
            str(trial["epochs"]),
            *(measure.unit.form(trial[measure.name]) for _, measure in listed),
            trial["error"] or "",
        ]
        for trial in study.summary["trials"]
    ]
    head = ["Arm", "Seed", "Outcome", "Epochs", *(heading for heading, _ in listed), "Error"]
    return Table(f"All {len(rows)} trials", head, rows)


def _outcome(trial: Row) -> str:
    collapsed = trial.get("collapsed")
    return trial["outcome"] if collapsed is None else f"{trial['outcome']}, collapsed at {collapsed}"


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


def _rate(word: str, arm: Row) -> str:
    within = sentences.interval(arm[f"{word}_rate_interval"], level)
    return f"{arm[word]} of {arm['trials']} (rate {within.replace(' ', SPACE)})"


def _mark(measure: Measure, values: Row) -> str:
    return "" if measure.mark is None else measure.unit.form(values.get(measure.mark))


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
    signed = measure.unit.signed
    unit = f" ({measure.unit.word})" if measure.unit.word else ""
    return [
        measure.label + unit,
        signed(found["mean"]),
        sentences.interval(found["t_interval"], signed),
        sentences.interval(found["bca_interval"], signed),
        sentences.p_value(found["sign_flip_p"]),
        sentences.MISSING if measure.more_is_better is None else " / ".join(map(str, measure.outcome(found))),
    ]


def _earlier(found: Row) -> list[str]:
    gap = [""] * 4
    counts = f"{found['earlier']} / {found['equal']} / {found['later']}"
    return [f"Epochs to {level(found['threshold'])}", *gap, counts]
