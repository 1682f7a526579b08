"""Results as tables in a terminal, on standard output."""

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
    table = Table(title=f"{escape(spec.recipe)} on {escape(spec.data.name)}, {len(spec.seeds)} seeds, {spec.epochs} epochs")
    level = summary["thresholds"][-1] if summary["thresholds"] else None
    headings = ["arm", "final val. accuracy", "best", "test", f"epochs to {level:.0%}" if level else "epochs to …"]
    for heading in [*headings, "rises of the loss", "diverged", "ms a step"]:
        table.add_column(heading, justify="left" if heading == "arm" else "right")
    for name, arm in summary["arms"].items():
        table.add_row(escape(name), *_cells(arm), _step(summary, name))
    console.print(table)
    for pair in summary["pairs"]:
        console.print(_difference(pair))
    rates = sorted({arm.learning_rate for arm in spec.arms})
    console.print(
        f"Measured at the learning rate {', '.join(f'{rate:g}' for rate in rates)}. What batch normalization does depends on the "
        "rate: compare at several before you conclude."
    )


def _cells(arm: dict[str, Any]) -> list[str]:
    last = arm["epochs_to"][-1] if arm["epochs_to"] else None
    rises = arm["rises"]["median"]
    return [
        _range(arm["final_accuracy"]),
        _share(arm["best_accuracy"]["median"]),
        _share(arm["test_accuracy"]["median"]),
        _reached(last) if last else "–",
        "–" if rises is None else f"{rises:.3f}",
        f"{arm['diverged']} of {arm['trials']}",
    ]


def _range(values: dict[str, Any]) -> str:
    if values["n"] == 0:
        return "–"
    return f"{values['median']:.1%} ({values['min']:.1%} to {values['max']:.1%})"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _reached(times: dict[str, Any]) -> str:
    missed = times["n"] - times["reached"]
    if times["median"] is None:
        return f"not reached in {missed} of {times['n']}"
    return f"{times['median']:g}" + (f" (not in {missed} of {times['n']})" if missed else "")


def _step(summary: dict[str, Any], name: str) -> str:
    seconds = summary["timing"]["step_seconds"][name]["median"]
    return "–" if seconds is None else f"{1000 * seconds:.2f}"


def _difference(pair: dict[str, Any]) -> str:
    found = pair["final_accuracy"]
    names = f"{escape(pair['arm'])} minus {escape(pair['baseline'])}"
    if found["n"] == 0:
        return f"{names}: no seed ended in both arms, so there is no difference to state."
    interval = found["t_interval"]
    low_high = f", 95 % interval {100 * interval[0]:+.1f} to {100 * interval[1]:+.1f}" if interval else ""
    test = (
        f", sign-flip p = {found['sign_flip_p']:.3f}"
        if found["smallest_p"] <= 0.05
        else f"; not testable with {found['n']} pairs, 6 are needed"
    )
    return f"{names}: {100 * found['mean']:+.1f} points of validation accuracy ({found['above']} of {found['n']} seeds above{low_high}{test})"


def print_trial(folder: Path, record: dict[str, Any]) -> None:
    """What came out of one training."""
    console = Console(highlight=False)
    last, test = record["last"], record["test"]
    score = f"{last['val_accuracy']:.2%} validation accuracy" if last["val_accuracy"] is not None else "no validation accuracy"
    tested = f", {test['accuracy']:.2%} test accuracy" if test else ""
    console.print(f"{record['outcome']} after {record['epochs']} epochs: {score}{tested}.")
    console.print(f"Model: {escape(str(folder / 'model.keras'))} (load it after import evenbatch)")
    console.print(f"Learning curve: {escape(str(folder / 'learning-curve.png'))}")
