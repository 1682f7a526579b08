"""Results as tables in a terminal, on standard output."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from evenbatch.study import store


def print_summary(folder: Path, summary: dict[str, Any]) -> None:
    """The arms of a study, and how each pair differs."""
    console = Console(highlight=False)
    spec = store.read_specification(folder)
    table = Table(
        title=escape(f"{spec.recipe} on {spec.data.name}: median over {len(spec.seeds)} seeds, {spec.epochs} epochs"),
        title_justify="left",
    )
    columns = _columns(summary)
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for name, arm in summary["arms"].items():
        table.add_row(*(cell(name, arm) for cell in columns.values()))
    console.print(table)
    for pair in summary["pairs"]:
        console.print(_difference(pair), soft_wrap=True)
    rates = sorted({arm.learning_rate for arm in spec.arms})
    console.print(
        f"Measured at the learning rate {', '.join(f'{rate:g}' for rate in rates)}. What batch normalization does "
        "depends on the rate: compare at several before you conclude.",
        soft_wrap=True,
    )


def _columns(summary: dict[str, Any]) -> dict[str, Callable[[str, dict[str, Any]], str]]:
    """Headings, and what a row has under each of them, given an arm's name and summary."""
    columns: dict[str, Callable[[str, dict[str, Any]], str]] = {
        "arm": lambda name, arm: escape(name),
        "val. acc.": lambda name, arm: _share(arm["final_accuracy"]["median"]),
        "range": lambda name, arm: _range(arm["final_accuracy"]),
        "best": lambda name, arm: _share(arm["best_accuracy"]["median"]),
    }
    if any(arm["test_accuracy"]["n"] for arm in summary["arms"].values()):
        columns["test"] = lambda name, arm: _share(arm["test_accuracy"]["median"])
    if summary["thresholds"]:
        columns[f"epochs to {summary['thresholds'][-1]:.0%}"] = lambda name, arm: _reached(arm["epochs_to"][-1])
    if any(arm["diverged"] for arm in summary["arms"].values()):
        columns["diverged"] = lambda name, arm: f"{arm['diverged']} of {arm['trials']}"
    if any(arm["failed"] for arm in summary["arms"].values()):
        columns["failed"] = lambda name, arm: f"{arm['failed']} of {arm['trials']}"
    columns["ms/step"] = lambda name, arm: _step(summary, name)
    return columns


def _range(values: dict[str, Any]) -> str:
    return "–" if values["n"] == 0 else f"{100 * values['min']:.1f}–{values['max']:.1%}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _reached(times: dict[str, Any]) -> str:
    missed = times["n"] - times["reached"]
    if times["median"] is None:
        return f"not in {missed} of {times['n']}"
    return f"{times['median']:g}" + (f" (not in {missed} of {times['n']})" if missed else "")


def _step(summary: dict[str, Any], name: str) -> str:
    seconds = summary["timing"]["step_seconds"][name]["median"]
    return "–" if seconds is None else f"{1000 * seconds:.2f}"


def _difference(pair: dict[str, Any]) -> str:
    found = pair["final_accuracy"]
    names = f"{escape(pair['arm'])} minus {escape(pair['baseline'])}"
    if found["n"] == 0:
        return f"{names}: no seed ended in both arms, so there is no difference to state."
    facts = [f"{found['above']} of {found['n']} seeds above"]
    if found["t_interval"]:
        low, high = found["t_interval"]
        facts.append(f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}")
    if found["smallest_p"] <= 0.05:
        facts.append(f"sign-flip p = {found['sign_flip_p']:.3f}")
    else:
        facts.append(f"not testable with {found['n']} pairs, 6 are needed")
    return f"{names}: {100 * found['mean']:+.1f} points of validation accuracy ({', '.join(facts)})"


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
        f"{record['outcome']} after {record['epochs']} epochs: {score}{tested}.",
        f"Model: {folder / 'model.keras'} (load it after import evenbatch)",
        f"Learning curve: {folder / 'learning-curve.png'}",
    ]
    for line in lines:
        console.print(escape(line), soft_wrap=True)
