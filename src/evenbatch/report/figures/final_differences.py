"""Final paired differences: a dot for each seed, their mean, and its interval."""

import altair as alt

from evenbatch.report import question, style
from evenbatch.report.figures.figure import Figure, banded, layer, numbered, stacked
from evenbatch.report.question import Measure, Question
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, count, interval, p_equals, quoted

MEAN = "mean"


def final_differences(study: StudyFiles) -> list[Figure]:
    """A figure for each pair that has a seed in which both arms finished."""
    pairs, asked = study.summary["pairs"], question.of(study)
    decisive = asked.decisive
    side = "right" if decisive.more_is_better else "left"
    return [
        Figure(
            name=numbered("final-differences", index, pairs),
            group="Final difference, seed by seed",
            title=f"Final {asked.noun}, {study.pair_label(pair)}",
            key=_key(pair[decisive.name]),
            chart=_chart(study, asked, pair),
            columns=("kind", "arm", "baseline", "seed", "label", decisive.unit.column, "low", "high", "n"),
            rows=_rows(study, decisive, pair),
            how_to_read=f"Each dot is one seed with the same batch order in both arms; {side} of the "
            "zero line the arm ended better than its baseline.",
            what_it_shows=_what_it_shows(decisive, pair),
        )
        for index, pair in enumerate(pairs)
        if pair[decisive.name]["n"]
    ]


def _key(found: Row) -> str:
    n = f"n = {count(found['n'], 'pair')}".replace(" ", SPACE)
    if found["t_interval"] is None:
        return f"Dot: one seed; diamond: mean, with no interval of one pair; {n}"
    return f"Dot: one seed; diamond and bar: mean with 95{SPACE}% t interval; {n}"


def _rows(study: StudyFiles, decisive: Measure, pair: Row) -> list[Row]:
    found, unit = pair[decisive.name], decisive.unit
    named = {"arm": pair["arm"], "baseline": pair["baseline"]}
    low, high = found["t_interval"] or (None, None)
    seeds: list[Row] = [
        {
            "kind": "seed",
            **named,
            "seed": seed,
            "label": f"seed {seed}",
            unit.column: unit.scale * difference,
            "n": 1,
        }
        for seed, difference in zip(study.seeds, found["differences"], strict=True)
        if difference is not None
    ]
    mean: Row = {
        "kind": MEAN,
        **named,
        "label": MEAN,
        unit.column: unit.scale * found["mean"],
        "n": found["n"],
    }
    if low is not None and high is not None:
        mean |= {"low": unit.scale * low, "high": unit.scale * high}
    return [{"kind": "reference", unit.column: 0.0}, *seeds, mean]


def _chart(study: StudyFiles, asked: Question, pair: Row) -> alt.LayerChart:
    rows, unit = _rows(study, asked.decisive, pair), asked.decisive.unit
    center = f"{unit.column}:Q"
    labels = [row["label"] for row in rows if "label" in row]
    axis = alt.Axis(grid=True, ticks=False, domain=False, labelFontSize=12)
    y = alt.Y("label:N").scale(domain=labels).axis(axis).title(None)

    def x(field: str) -> alt.X:
        scale = alt.Scale(zero=True, padding=12)
        return alt.X(field, axis=style.points_axis(), scale=scale, title=f"difference ({unit.word or asked.noun})")

    value, *ends = (alt.Tooltip(f"{name}:Q", format=unit.ticks) for name in (unit.column, "low", "high"))
    tooltip = [alt.Tooltip("label:N"), value]
    bar = layer(MEAN).mark_rule(style="ink", strokeWidth=3).encode(x=x("low:Q"), x2="high:Q", y=y)
    return stacked(
        layer("reference").mark_rule(style="zero").encode(x=x(center)),
        layer("seed").mark_circle(style="pair-fill", size=90, opacity=0.9).encode(x=x(center), y=y, tooltip=tooltip),
        *([bar] if banded(rows) else []),
        layer(MEAN)
        .mark_point(style="ink", shape="diamond", size=130, opacity=1, filled=True)
        .encode(x=x(center), y=y, tooltip=[*tooltip, *ends]),
        height=len(labels) * (26 if len(labels) < 12 else 16),
    )


def _what_it_shows(decisive: Measure, pair: Row) -> str:
    found, unit = pair[decisive.name], decisive.unit
    n, arm, baseline = found["n"], quoted(pair["arm"]), quoted(pair["baseline"])
    ahead, *_ = decisive.outcome(found)
    ties = f", level in {found['equal']}" if found["equal"] else ""
    lead = f"{arm} ends ahead of {baseline} in {ahead} of {count(n, 'seed')}{ties}"
    if found["t_interval"] is None:
        return f"{lead}, by {unit.signed(found['mean'])}{unit.after}; one seed has no interval."
    return (
        f"{lead}; the mean is {unit.signed(found['mean'])}{unit.after} (95 % interval "
        f"{interval(found['t_interval'], unit.signed)}, "
        f"sign-flip {p_equals(found['sign_flip_p'])})."
    )
