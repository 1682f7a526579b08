"""Curves of one quantity by epoch: a thin line for each seed, each arm's median and quartiles.

A diverged seed ends in a cross. An epoch in which the quantity was not measured is passed over.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from evenbatch.report import style
from evenbatch.report.by_epoch import quartiles, series
from evenbatch.report.figures.figure import banded, layer
from evenbatch.report.reading import Row, StudyFiles, Trial

HEIGHT = 290
COLUMNS = ("kind", "arm", "seed", "epoch", "value", "low", "high", "n")
REFERENCED = (*COLUMNS, "name")  # where there are lines of reference


@dataclass(frozen=True)
class Quantity:
    """A column of the histories, and its axis: from 0 to 1 in percent, or logarithmic."""

    column: str
    noun: str
    logarithmic: bool

    def of(self, trial: Trial) -> dict[int, float]:
        """What can be drawn of a trial, by epoch: a logarithmic axis has no place for zero."""
        found = series(trial, self.column)
        return {epoch: value for epoch, value in found.items() if value > 0 or not self.logarithmic}


def rows(study: StudyFiles, quantity: Quantity) -> list[Row]:
    """Rows of kind "seed", "median" and "diverged"."""
    return [row for arm in study.arms for row in of_arm(arm, study.of(arm), quantity)]


def reference(name: str, value: float) -> Row:
    """The row of a line across the chart, with the name that stands at its end."""
    return {"kind": "reference", "name": name, "value": value}


def layers(
    study: StudyFiles, quantity: Quantity, drawn: list[Row], curve: str = "arm", names: Sequence[str] = ()
) -> list[alt.Chart]:
    """The layers that draw those rows, lines of reference lowest, then the band.

    Args:
        study: The study.
        quantity: What is drawn.
        drawn: The rows.
        curve: The column that tells curves apart.
        names: The names that it may have, in order; by default those of the arms.
    """
    names = names or study.arms
    legend = style.arm_legend(names)
    color, dash = style.color(names, legend, curve), style.dash(names, legend, curve)
    x, y = style.epoch_axis(study.epochs), vertical(quantity, drawn)
    few = len({row["epoch"] for row in drawn if "epoch" in row}) < 3  # a line of one point would not be seen
    line = {"x": x, "y": y, "color": color, "strokeDash": dash}
    seed = layer("seed").mark_line(opacity=0.45, strokeWidth=1, point=few)
    median = layer("median").mark_line(strokeWidth=2.8, point=few)
    hover = layer("median").mark_circle(opacity=0, size=120)
    ends = {"y": vertical(quantity, drawn, "low:Q"), "y2": "high:Q"}
    band = layer("median").mark_area(opacity=0.18).encode(x=x, color=color, **ends)
    return [
        *(_references(y) if any(row["kind"] == "reference" for row in drawn) else []),
        *([band] if banded(drawn) else []),
        seed.encode(**line, detail="seed:N"),
        median.encode(**line),
        hover.encode(x=x, y=y, color=color, tooltip=_tooltip(quantity, curve)),
        *(_crosses(x, y, color) if any(row["kind"] == "diverged" for row in drawn) else []),
    ]


def vertical(quantity: Quantity, drawn: list[Row], field: str = "value:Q") -> alt.Y:
    """The vertical position of a field; every layer of a chart has this axis."""
    if not quantity.logarithmic:
        axis = alt.Axis(format="%", tickCount=6)
        return alt.Y(field, axis=axis, scale=alt.Scale(domain=[0, 1]), title=quantity.noun)
    values = [row["value"] for row in drawn if "value" in row] or [1.0]
    low, high = min(values) / 1.15, max(values) * 1.15
    axis = alt.Axis(format="~g", values=log_ticks(low, high))
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    return alt.Y(field, axis=axis, scale=scale, title=f"{quantity.noun} (log scale)")


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks from `low` to `high`: 1, 2 and 5 of each decade; over many decades their ones; else four between."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = [1, 2, 5] if len(decades) <= 4 else [1]
    if len(decades) > 8:
        decades = decades[:: math.ceil(len(decades) / 8)]
    ticks = [float(f"{step}e{decade}") for decade in decades for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    between = [float(f"{low + (high - low) * part / 5:.2g}") for part in range(1, 5)]
    return ticks if len(ticks) > 1 else between


def of_arm(arm: str, trials: list[Trial], quantity: Quantity) -> list[Row]:
    """The rows of one arm."""
    runs = [quantity.of(trial) for trial in trials]
    both = list(zip(trials, runs, strict=True))
    seeds: list[Row] = [
        {"kind": "seed", "arm": arm, "seed": trial.seed, "epoch": epoch, "value": value}
        for trial, run in both
        for epoch, value in run.items()
    ]
    medians: list[Row] = [
        {"kind": "median", "arm": arm, "epoch": p.epoch, "value": p.center, **p.band(), "n": p.n}
        for p in quartiles(runs)
    ]
    return [*seeds, *medians, *(_cross(trial, run) for trial, run in both if trial.diverged)]


def _cross(trial: Trial, run: dict[int, float]) -> Row:
    """Where a diverged seed ends: at its last value, or valueless at the epoch it stopped in."""
    last = max(run, default=None)
    where = {"epoch": trial.record["epochs"]}
    if last is not None:
        where = {"epoch": last, "value": run[last]}
    return {"kind": "diverged", "arm": trial.arm, "seed": trial.seed, **where}


def _tooltip(quantity: Quantity, curve: str) -> list[alt.Tooltip]:
    form = ".3~g" if quantity.logarithmic else ".1%"
    return [
        alt.Tooltip(f"{curve}:N"),
        alt.Tooltip("epoch:Q"),
        alt.Tooltip("value:Q", format=form, title="median"),
        alt.Tooltip("n:Q", title="seeds"),
    ]


def _references(y: alt.Y) -> list[alt.Chart]:
    """Lines across the chart, each with its name at the right end."""
    note = layer("reference").mark_text(style="note", align="right", baseline="bottom", dx=-4, dy=-3)
    return [
        layer("reference").mark_rule(style="reference").encode(y=y),
        note.encode(x=alt.value("width"), y=y, text="name:N"),
    ]


def _crosses(x: alt.X, y: alt.Y, color: alt.Color) -> list[alt.Chart]:
    """Diverged seeds: at their last value, or at the upper edge where they never had one."""
    crosses = layer("diverged").mark_text(text="×", fontSize=22, fontWeight="bold")
    shown = {"x": x, "color": color, "tooltip": ["arm:N", "seed:N", "epoch:Q"]}
    return [
        crosses.transform_filter("isValid(datum.value)").encode(y=y, **shown),
        crosses.transform_filter("!isValid(datum.value)").encode(y=alt.value(8), **shown),
    ]
