"""What dropout before a batch normalization does to the variance of its inputs.

Li et al. 2019, https://arxiv.org/abs/1801.05134.
"""

import altair as alt

from evenbatch.report import style
from evenbatch.report.figures.figure import Figure, layer, stacked
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import count, level, listing, quoted

MOST_NAMED = 4  # layers that a sentence can name one by one
COLUMNS = ("kind", "arm", "layer", "dropout_before", "ratio", "n")


def variance_shift(study: StudyFiles) -> list[Figure]:
    """The figure of variance ratios, or nothing where no arm has dropout and normalization."""
    rows = _rows(study)
    if not rows:
        return []
    seeds = max(row["n"] for row in rows)
    return [
        Figure(
            name="variance-shift",
            group="Dropout before the normalization",
            title="Variance of a layer's inputs, inference over training",
            key=f"Dot: median over channels, then over {count(seeds, 'seed')}; line at 1: no shift",
            chart=_chart(study, rows),
            columns=COLUMNS,
            rows=[{"kind": "reference", "ratio": 1.0}, *rows],
            how_to_read="Dropout scales up what it keeps, which raises the variance in training; in "
            "inference it is off. At 1 a normalization meets the variance it was trained with; "
            "left of 1 it meets less, and divides by too much.",
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
        .axis(tickCount=6)
        .title("variance in inference ÷ variance in training")
    )
    several = len({row["arm"] for row in rows}) > 1
    legend = alt.Legend(orient="top", columns=2, title=None, symbolType="circle") if several else None
    tooltip = ["arm:N", "layer:N", "dropout_before:Q", alt.Tooltip("ratio:Q", format=".2f")]
    color = style.color(study.arms, legend)
    return stacked(
        layer("reference").mark_rule(style="reference").encode(x=x),
        layer("layer").mark_rule(strokeWidth=2, opacity=0.5).encode(x=x, x2=alt.datum(1.0), y=y, color=color),
        layer("layer")
        .mark_point(size=130, filled=True, opacity=1)
        .encode(x=x, y=y, color=color, shape=style.shape(study.arms), tooltip=tooltip),
        height=len(layers) * (40 if len(layers) <= MOST_NAMED else 24),
    )


def _what_it_shows(rows: list[Row]) -> str:
    behind = [row for row in rows if row["dropout_before"]]
    free = [row for row in rows if not row["dropout_before"]]
    said = []
    if behind:
        said.append(f"Behind dropout the variance in inference is {_ratios(behind)} of that in training.")
    if free:
        said.append(f"With no dropout before the layer it is {_ratios(free)}.")
    return " ".join(said)


def _ratios(rows: list[Row]) -> str:
    if len(rows) > MOST_NAMED:
        ratios = [row["ratio"] for row in rows]
        return f"{level(min(ratios))} to {level(max(ratios))} ({len(rows)} layers)"
    return listing([_named(row) for row in rows])


def _named(row: Row) -> str:
    dropout = f", dropout {level(row['dropout_before'])}" if row["dropout_before"] else ""
    return f"{level(row['ratio'])} ({row['layer']} of {quoted(row['arm'])}{dropout})"
