"""Epochs to a threshold of validation accuracy: the share of seeds that reached it, by epoch.

A seed that has not reached it is not left out: it counts as later than the budget.
"""

import altair as alt

from evenbatch.report import style
from evenbatch.report.figures.figure import Figure, layer, seeds_phrase, stacked
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import count, epochs, level, quoted

COLUMNS = ("kind", "arm", "threshold", "epoch", "share", "n", "reached")


def epochs_to_threshold(study: StudyFiles) -> list[Figure]:
    """A figure for each threshold of the summary."""
    return [
        Figure(
            name=f"epochs-to-{round(100 * threshold)}",
            group="Epochs to a threshold",
            title=f"Seeds that reached {level(threshold)} validation accuracy",
            key=f"Step: share of seeds; circle at the end: some missed it; {seeds_phrase(study)}",
            chart=_chart(study),
            columns=COLUMNS,
            rows=_rows(study, index),
            how_to_read="Each step is one or more seeds reaching the threshold; the further left a "
            "line climbs, the faster the arm. A line that ends below 100\u00a0% ends in a "
            "circle: the missing seeds had not got there when their epochs were over.",
            what_it_shows=_what_it_shows(study, index),
        )
        for index, threshold in enumerate(study.summary["thresholds"])
    ]


def _found(study: StudyFiles, index: int) -> dict[str, Row]:
    return {name: arm["epochs_to"][index] for name, arm in study.summary["arms"].items()}


def _rows(study: StudyFiles, index: int) -> list[Row]:
    return [row for arm, found in _found(study, index).items() for row in _arm_rows(arm, found, study.epochs)]


def _arm_rows(arm: str, found: Row, budget: int) -> list[Row]:
    """The share at 0, where it changes, and at the budget, where missing seeds are marked; none where all failed."""
    if not found["n"]:
        return []
    there = [time for time in found["times"] if time is not None]
    changes = sorted({0, *map(int, there), budget})
    same = {"arm": arm, "threshold": found["threshold"], "n": found["n"]}
    steps: list[Row] = []
    for epoch in changes:
        reached = sum(time <= epoch for time in there)
        steps.append(
            {
                "kind": "step",
                **same,
                "epoch": epoch,
                "share": reached / found["n"],
                "reached": reached,
            }
        )
    censored = found["reached"] < found["n"]
    return [*steps, *([{**steps[-1], "kind": "censored"}] if censored else [])]


def _chart(study: StudyFiles) -> alt.LayerChart:
    legend = style.arm_legend(study.arms)
    color, dash = style.color(study.arms, legend), style.dash(study.arms, legend)
    x = style.epoch_axis(study.epochs, first=0)
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    y = alt.Y("share:Q").scale(domain=[0, 1]).axis(axis).title("seeds that reached it")
    tooltip = ["arm:N", "epoch:Q", "reached:Q", alt.Tooltip("n:Q", title="of")]
    return stacked(
        layer("step")
        .mark_line(interpolate="step-after", strokeWidth=2.6, clip=False)
        .encode(x=x, y=y, color=color, strokeDash=dash),
        layer("step").mark_circle(opacity=0, size=120).encode(x=x, y=y, color=color, tooltip=tooltip),
        layer("censored").mark_point(size=80, strokeWidth=2).encode(x=x, y=y, color=color, tooltip=tooltip),
        height=170,
    )


def _what_it_shows(study: StudyFiles, index: int) -> str:
    said = [_arm_says(arm, found, study.epochs) for arm, found in _found(study, index).items()]
    return f"{'; '.join(said)}."


def _arm_says(arm: str, found: Row, budget: int) -> str:
    if not found["n"]:
        return f"{quoted(arm)} has no trial that could reach it"
    if not found["reached"]:
        return f"{quoted(arm)} reaches it in 0 of {found['n']} within {count(budget, 'epoch')}"
    share = f"{quoted(arm)} reaches it in {found['reached']} of {found['n']}"
    return share if found["median"] is None else f"{share}, at epoch {epochs(found['median'])} in the median"
