"""Results as tables in a terminal, on standard output."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evenbatch.report import headline, reading
from evenbatch.report.sentences import count, number, tally
from evenbatch.study import store

WIDTH_OF_A_FILE = 120  # or a pipe, which does not tell its own
SPARED = ("range", "best", "ms/step")  # the columns that go first where there is no room
# Headings, and what a row has under each of them, given an arm's name and summary.
Columns = dict[str, Callable[[str, dict[str, Any]], str]]


def print_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The arms of a study, and how each pair differs."""
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH_OF_A_FILE
    study = reading.read(folder)
    spec = store.read_specification(folder)
    size = f"{count(len(spec.seeds), 'seed')}, {count(spec.epochs, 'epoch')}"
    columns = {**(_generators(summary) if study.adversarial else _classifiers(summary)), **_every_study(summary)}
    console.print(escape(f"{spec.recipe} on {spec.data.name}: median over {size}"), style="table.title", soft_wrap=True)
    console.print(_fitting(console, columns, summary))
    answers = headline.answers(study)
    facts = [f"{answer.found} {answer.certainty}" for answer in answers]
    for line in [*facts, *headline.scale(study), *_variance_shift(summary), *headline.caveats(study)]:
        console.print(escape(line), soft_wrap=True)


def _fitting(console: Console, columns: Columns, summary: dict[str, Any]) -> Table:
    """The table of all columns, or of fewer where there is no room for them."""
    table = _table(columns, summary)
    for spared in SPARED:
        if console.measure(table, options=console.options.update(max_width=1000)).maximum <= console.width:
            break
        columns = {heading: cell for heading, cell in columns.items() if heading != spared}
        table = _table(columns, summary)
    return table


def _table(columns: Columns, summary: dict[str, Any]) -> Table:
    table = Table()
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "arm" else "right", overflow="fold")
    for name, arm in summary["arms"].items():
        table.add_row(*(cell(name, arm) for cell in columns.values()))
    return table


def _classifiers(summary: dict[str, Any]) -> Columns:
    columns: Columns = {
        "arm": lambda name, arm: escape(name),
        "val. acc.": lambda name, arm: _share(arm["final_accuracy"]["median"]),
        "range": lambda name, arm: _range(arm["final_accuracy"]),
        "best": lambda name, arm: _share(arm["best_accuracy"]["median"]),
    }
    if any(arm["test_accuracy"]["n"] for arm in summary["arms"].values()):
        columns["test"] = lambda name, arm: _share(arm["test_accuracy"]["median"])
    if summary["thresholds"]:
        columns[f"epochs to {summary['thresholds'][-1]:.0%}"] = lambda name, arm: _reached(arm["epochs_to"][-1])
    return columns


def _generators(summary: dict[str, Any]) -> Columns:
    return {
        "arm": lambda name, arm: escape(name),
        "distance": lambda name, arm: number(arm["final_frechet"]["median"]),
        "range": lambda name, arm: _ends(arm["final_frechet"]),
        "best": lambda name, arm: number(arm["best_frechet"]["median"]),
        "kernel": lambda name, arm: number(arm["final_kernel"]["median"]),
        "classes": lambda name, arm: tally(arm["classes"]["median"]),
    }


def _every_study(summary: dict[str, Any]) -> Columns:
    """What befell trials, where it befell any, and the time of a step."""
    fates: Columns = {
        fate: partial(_share_of_trials, fate)
        for fate in ("collapsed", "diverged", "failed")
        if any(arm.get(fate) for arm in summary["arms"].values())
    }
    return {**fates, "ms/step": lambda name, arm: _step(summary, name)}


def _share_of_trials(fate: str, name: str, arm: dict[str, Any]) -> str:
    return f"{arm[fate]} of {arm['trials']}"


def _ends(values: dict[str, Any]) -> str:
    return "–" if values["n"] == 0 else f"{number(values['min'])}–{number(values['max'])}"


def _range(values: dict[str, Any]) -> str:
    return "–" if values["n"] == 0 else f"{100 * values['min']:.1f}–{values['max']:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _reached(times: dict[str, Any]) -> str:
    if not times["n"]:
        return "–"
    missed = times["n"] - times["reached"]
    if times["median"] is None:
        return f"not in {missed} of {times['n']}"
    return f"{times['median']:g}" + (f" (not in {missed} of {times['n']})" if missed else "")


def _step(summary: dict[str, Any], name: str) -> str:
    seconds = summary["timing"]["step_seconds"][name]["median"]
    return "–" if seconds is None else f"{1000 * seconds:.2f}"


def _variance_shift(summary: dict[str, Any]) -> list[str]:
    """What dropout before a normalization layer does to the variance of its inputs, where it was probed."""
    return [
        f"{row['layer']} ({row['arm']}), behind Dropout({row['dropout_before']:g}): in inference the variance of its "
        f"inputs is {row['inference_over_training']:.2f} times that of training."
        for row in summary["variance_shift"]
        if row["dropout_before"] and row["inference_over_training"] is not None
    ]


def print_trial(folder: Path, record: dict[str, Any]) -> None:
    """What came out of one training."""
    console = Console(highlight=False)
    last, test = record["last"], record["test"]
    score = (
        f"{last['val_accuracy']:.2%} validation accuracy"
        if last["val_accuracy"] is not None
        else "no validation accuracy"
    )
    tested = f", {test['accuracy']:.2%} test accuracy" if test else ""
    lines = [
        f"{record['outcome']} after {count(record['epochs'], 'epoch')}: {score}{tested}.",
        f"Model: {folder / 'model.keras'} (load it after import evenbatch)",
        f"Learning curve: {folder / 'learning-curve.png'}",
    ]
    for line in lines:
        console.print(escape(line), soft_wrap=True)
