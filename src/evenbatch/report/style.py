"""How every figure looks: colours for colour-blind readers, one dash and one shape an arm.

A chart names roles ("reference", "pair") and the n-th arm; a configuration turns them into colours.
So one description serves the light page, the dark page and the static files.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SHORT = 14  # letters of a name that leaves room for another beside it
DASHES = [[1, 0], [7, 3], [2, 2], [9, 2, 2, 2], [4, 4]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down"]


@dataclass(frozen=True)
class Theme:
    """The colours of a page; its style sheet has the same ink, soft and line."""

    ink: str
    soft: str
    line: str
    pair: str
    arms: tuple[str, ...]


# Arms: Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), a pair of arms blue and orange,
# darker on white and lighter on black where the originals have little contrast.
LIGHT = Theme(
    ink="#1c2126",
    soft="#59636e",
    line="#e3e6ea",
    pair="#5b4b8a",
    arms=("#0072b2", "#d55e00", "#009e73", "#b0578d", "#7a6a00", "#4d4d4d"),
)
DARK = Theme(
    ink="#e6e8eb",
    soft="#a3abb5",
    line="#2f3740",
    pair="#b9a7f0",
    arms=("#56b4e9", "#f0a030", "#2fc59b", "#e39ac5", "#f0e442", "#bbbbbb"),
)


def config(theme: Theme) -> dict[str, Any]:
    """The Vega-Lite configuration of a theme."""
    ink, soft, line, pair = theme.ink, theme.soft, theme.line, theme.pair
    return {
        "font": FONT,
        "background": None,
        "padding": 4,
        "view": {"stroke": None},
        "range": {"category": list(theme.arms)},
        "axis": {
            **dict.fromkeys(("labelColor", "titleColor"), soft),
            **dict.fromkeys(("domainColor", "tickColor", "gridColor"), line),
            **dict.fromkeys(("labelFontSize", "titleFontSize"), 12),
            "titleFontWeight": "normal",
            "titlePadding": 8,
        },
        "axisX": {"grid": False},
        "legend": {
            "labelColor": ink,
            "labelFontSize": 13,
            "labelLimit": 240,
            "symbolSize": 400,
            "symbolStrokeWidth": 2.5,
            "offset": 8,
        },
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 15,
            "offset": 12,
            "subtitleColor": soft,
            "subtitleFontSize": 12,
        },
        "mark": {"aria": False},  # the chart as a whole has a text; its thousand marks need none
        "style": {
            "reference": {"color": soft, "strokeWidth": 1, "strokeDash": [3, 3]},
            "zero": {"color": soft, "strokeWidth": 1.2},
            "note": {"color": soft, "fontSize": 11},
            "ink": {"color": ink, "stroke": ink, "fill": ink},
            "pair": {"color": pair, "stroke": pair},
            "pair-fill": {"color": pair, "fill": pair},
        },
    }


def static_config() -> dict[str, Any]:
    """The configuration of the SVG and PNG files: light, on white."""
    return {**config(LIGHT), "background": "#ffffff", "padding": 12}


def color(arms: Sequence[str], legend: alt.Legend | None = None, field: str = "arm") -> alt.Color:
    """The colour of an arm, or of whatever `field` names."""
    return alt.Color(f"{field}:N").scale(domain=list(arms)).title(None).legend(legend)


def dash(arms: Sequence[str], legend: alt.Legend | None = None, field: str = "arm") -> alt.StrokeDash:
    """The dash of an arm, or of whatever `field` names."""
    scale = alt.Scale(domain=list(arms), range=_cycled(DASHES, arms))
    return alt.StrokeDash(f"{field}:N").scale(scale).title(None).legend(legend)


def shape(arms: Sequence[str]) -> alt.Shape:
    """The shape of an arm."""
    scale = alt.Scale(domain=list(arms), range=_cycled(SHAPES, arms))
    return alt.Shape("arm:N").scale(scale).title(None).legend(None)


def arm_legend(arms: Sequence[str]) -> alt.Legend:
    """A legend above the chart that fits a telephone: two arms a row where their names are short."""
    columns = 2 if max(map(len, arms)) <= SHORT else 1
    return alt.Legend(orient="top", columns=columns, symbolType="stroke", symbolOpacity=1, title=None)


def epoch_axis(epochs: int, *, first: int = 1) -> alt.X:
    """The horizontal axis in epochs, whole numbers only."""
    ends = (first, epochs) if epochs > first else (first - 0.5, first + 0.5)
    few = list(range(first, epochs + 1)) if epochs <= 10 else alt.Undefined
    axis = alt.Axis(format="d", tickMinStep=1, tickCount=8, values=few)
    return alt.X("epoch:Q", axis=axis, scale=alt.Scale(domain=list(ends), nice=False), title="epoch")


def points_axis(**options: Any) -> alt.Axis:
    """An axis of differences in percentage points, with their signs."""
    signed = "datum.value === 0 ? '0' : format(datum.value, '+')"
    return alt.Axis(labelExpr=signed, tickCount=6, **options)


def _cycled(values: Sequence[Any], arms: Sequence[str]) -> list[Any]:
    return [values[index % len(values)] for index in range(len(arms))]
