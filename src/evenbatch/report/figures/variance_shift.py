"""What dropout before a batch normalization does to the variance of its inputs (Li et al. 2019, arXiv:1801.05134)."""

import altair as alt

from evenbatch.report import style
from evenbatch.report.figures.figure import Figure, layer
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import count, level, listing, quoted

COLUMNS = ("kind", "arm", "layer", "dropout_before", "ratio", "n")


def variance_shift(study: StudyFiles) -> list[Figure]:
    """The figure of variance ratios, or nothing where no arm has both dropout and batch normalization."""
    rows = _rows(study)
    if not rows:
        return []
    seeds = max(row["n"] for row in rows)
    return [
        Figure(
            name="variance-shift",
            group="Dropout before the normalization",
            title="Variance of a layer's inputs, inference over training",
            key=f"Dot: median over channels, then over seeds; n = {count(seeds, 'seed')}; line at 1: no shift",
            chart=_chart(study, rows),
            columns=COLUMNS,
            rows=[{"kind": "reference", "ratio": 1.0}, *rows],
            how_to_read="Dropout scales up what it keeps, which raises the variance while training; in inference it "
            "is off. At 1 a normalization meets the variance it was trained with; left of 1 it meets less and divides by too much.",
            what_it_shows=_what_it_shows(rows),
        )
    ]


def _rows(study: StudyFiles) -> list[Row]:
    return [
        {
            "kind": "layer",
            "arm": found["arm"],
            "layer": found["layer"],
            "dropout_before": found["dropout_before"],
            "ratio": found["inference_over_training"],
            "n": found["n"],
        }
        for found in study.summary.get("variance_shift", [])
        if found["inference_over_training"] is not None
    ]


def _chart(study: StudyFiles, rows: list[Row]) -> alt.LayerChart:
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    top = max(1.2, *(1.1 * row["ratio"] for row in rows))
    axis = alt.Axis(ticks=False, domain=False, grid=True, labelLimit=130, labelFontSize=13)
    y = alt.Y("layer:N").scale(domain=layers).axis(axis).title(None)
    x = (
        alt.X("ratio:Q")
        .scale(domain=[0, top], nice=False)
        .title("variance in inference ÷ variance in training")
    )
    several = len({row["arm"] for row in rows}) > 1
    legend = (
        alt.Legend(orient="top", columns=2, title=None, symbolType="circle") if several else None
    )
    tooltip = ["arm:N", "layer:N", "dropout_before:Q", alt.Tooltip("ratio:Q", format=".2f")]
    color = style.color(study.arms, legend)
    return alt.layer(
        layer("reference").mark_rule(style="reference").encode(x=x),
        layer("layer")
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(x=x, x2=alt.datum(1.0), y=y, color=color),
        layer("layer")
        .mark_point(size=130, filled=True, opacity=1)
        .encode(x=x, y=y, color=color, shape=style.shape(study.arms), tooltip=tooltip),
    ).properties(height={"step": 40})


def _what_it_shows(rows: list[Row]) -> str:
    after = [row for row in rows if row["dropout_before"]]
    free = [row for row in rows if not row["dropout_before"]]
    behind = listing(
        [
            f"{row['ratio']:.2f} times in {row['layer']} of {quoted(row['arm'])} (dropout {level(row['dropout_before'])})"
            for row in after
        ]
    )
    said = (
        [f"Behind dropout the variance in inference is {behind} what it was in training."]
        if after
        else []
    )
    without = listing(
        [f"{row['ratio']:.2f} in {row['layer']} of {quoted(row['arm'])}" for row in free]
    )
    return " ".join(
        [*said, *([f"With no dropout before it the ratio is {without}."] if free else [])]
    )
