"""Paired difference of what decides, by epoch: what an arm gains, and when."""

import altair as alt

from evenbatch.report import question, style
from evenbatch.report.by_epoch import Point, paired_difference, series
from evenbatch.report.figures.figure import Figure, banded, layer, numbered, stacked
from evenbatch.report.question import Question, Unit
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, count, interval, quoted


def difference_by_epoch(study: StudyFiles) -> list[Figure]:
    """A figure for each pair that has a seed with both arms."""
    pairs, asked = study.summary["pairs"], question.of(study)
    unit = asked.decisive.unit
    ahead = "Above" if asked.decisive.more_is_better else "Below"
    found = [(index, pair, _points(study, asked, pair)) for index, pair in enumerate(pairs)]
    return [
        Figure(
            name=numbered("difference-by-epoch", index, pairs),
            group="Paired difference by epoch",
            title=f"{asked.noun.capitalize()} by epoch, {study.pair_label(pair)}",
            key=_key(points),
            chart=_chart(study, asked, _rows(unit, pair, points)),
            columns=("kind", "arm", "baseline", "epoch", unit.column, "low", "high", "n"),
            rows=_rows(unit, pair, points),
            how_to_read=f"{ahead} zero the arm is ahead of its baseline of the same seed and batch "
            "order. Where the band leaves zero out, the seeds agree on that, at that epoch taken "
            "by itself, not at all epochs at once.",
            what_it_shows=_what_it_shows(unit, pair, points),
        )
        for index, pair, points in found
        if points
    ]


def _points(study: StudyFiles, asked: Question, pair: Row) -> list[Point]:
    runs = [[series(trial, asked.column) for trial in study.of(pair[side])] for side in ("arm", "baseline")]
    return paired_difference(*runs)


def _key(points: list[Point]) -> str:
    low, high = min(p.n for p in points), max(p.n for p in points)
    n = f"n = {count(high, 'pair') if low == high else f'{low} to {high} pairs'}".replace(" ", SPACE)
    band = f"band: 95{SPACE}% t interval, pointwise" if high > 1 else "no interval of one pair"
    return f"Line: mean over seeds; {band}; {n}"


def _rows(unit: Unit, pair: Row, points: list[Point]) -> list[Row]:
    named = {"arm": pair["arm"], "baseline": pair["baseline"]}
    means: list[Row] = [
        {
            "kind": "mean",
            **named,
            "epoch": p.epoch,
            unit.column: unit.scale * p.center,
            **p.band(unit.scale),
            "n": p.n,
        }
        for p in points
    ]
    return [{"kind": "reference", unit.column: 0.0}, *means]


def _chart(study: StudyFiles, asked: Question, rows: list[Row]) -> alt.LayerChart:
    unit = asked.decisive.unit
    center = f"{unit.column}:Q"
    x = style.epoch_axis(study.epochs)

    def y(field: str) -> alt.Y:
        return alt.Y(field, axis=style.points_axis(), title=f"difference ({unit.word or asked.noun})")

    tooltip = [
        alt.Tooltip("epoch:Q"),
        *(alt.Tooltip(f"{name}:Q", format=unit.ticks) for name in (unit.column, "low", "high")),
        alt.Tooltip("n:Q"),
    ]
    mean = layer("mean")
    few = len(rows) < 4  # a line and a band of one point would not be seen
    draw = mean.mark_rule if few else mean.mark_area
    band = draw(style="pair-fill", opacity=0.2).encode(x=x, y=y("low:Q"), y2="high:Q")
    return stacked(
        layer("reference").mark_rule(style="zero").encode(y=y(center)),
        *([band] if banded(rows) else []),
        mean.mark_line(style="pair", strokeWidth=2.6, point=few).encode(x=x, y=y(center)),
        mean.mark_circle(opacity=0, size=120).encode(x=x, y=y(center), tooltip=tooltip),
        height=260,
    )


def _what_it_shows(unit: Unit, pair: Row, points: list[Point]) -> str:
    last = points[-1]
    ends = None if last.low is None or last.high is None else (last.low, last.high)
    within = f" (95 % interval {interval(ends, unit.signed)})" if ends else ""
    return (
        f"At epoch {last.epoch}, the last that both have, the mean difference "
        f"{quoted(pair['arm'])} minus {quoted(pair['baseline'])} is "
        f"{unit.signed(last.center)}{unit.after}{within}. "
        f"{_away_from_zero(points)}"
    )


def _away_from_zero(points: list[Point]) -> str:
    banded = [p for p in points if p.low is not None]
    if not banded:
        return "One pair of seeds has no interval."
    above = [p.epoch for p in banded if p.low is not None and p.low > 0]
    below = [p.epoch for p in banded if p.high is not None and p.high < 0]
    if not above and not below:
        return "The interval holds zero at every epoch."
    parts = [
        f"{where} zero at {len(at)} of {count(len(points), 'epoch')}, first at epoch {at[0]}"
        for where, at in (("above", above), ("below", below))
        if at
    ]
    return f"The whole interval lies {' and '.join(parts)}."
