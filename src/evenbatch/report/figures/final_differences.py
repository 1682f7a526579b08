"""Final paired differences: a dot for each seed, their mean, and its interval."""

import altair as alt

from evenbatch.report import style
from evenbatch.report.figures.figure import Figure, banded, layer, numbered, stacked
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, count, interval, p_equals, quoted, signed_points

COLUMNS = ("kind", "arm", "baseline", "seed", "label", "points", "low", "high", "n")
MEAN = "mean"


def final_differences(study: StudyFiles) -> list[Figure]:
    """A figure for each pair that has a seed in which both arms finished."""
    pairs = study.summary["pairs"]
    return [
        Figure(
            name=numbered("final-differences", index, pairs),
            group="Final difference, seed by seed",
            title=f"Final validation accuracy, {study.pair_label(pair)}",
            key=_key(pair),
            chart=_chart(study, pair),
            columns=COLUMNS,
            rows=_rows(study, pair),
            how_to_read="Each dot is one seed with the same batch order in both arms; right of the "
            "zero line the arm ended better than its baseline.",
            what_it_shows=_what_it_shows(pair),
        )
        for index, pair in enumerate(pairs)
        if pair["final_accuracy"]["n"]
    ]


def _key(pair: Row) -> str:
    n = f"n = {count(pair['final_accuracy']['n'], 'pair')}".replace(" ", SPACE)
    if pair["final_accuracy"]["t_interval"] is None:
        return f"Dot: one seed; diamond: mean, with no interval of one pair; {n}"
    return f"Dot: one seed; diamond and bar: mean with 95{SPACE}% t interval; {n}"


def _rows(study: StudyFiles, pair: Row) -> list[Row]:
    found = pair["final_accuracy"]
    named = {"arm": pair["arm"], "baseline": pair["baseline"]}
    low, high = found["t_interval"] or (None, None)
    seeds: list[Row] = [
        {
            "kind": "seed",
            **named,
            "seed": seed,
            "label": f"seed {seed}",
            "points": 100 * difference,
            "n": 1,
        }
        for seed, difference in zip(study.seeds, found["differences"], strict=True)
        if difference is not None
    ]
    mean: Row = {
        "kind": MEAN,
        **named,
        "label": MEAN,
        "points": 100 * found["mean"],
        "n": found["n"],
    }
    if low is not None and high is not None:
        mean |= {"low": 100 * low, "high": 100 * high}
    return [{"kind": "reference", "points": 0.0}, *seeds, mean]


def _chart(study: StudyFiles, pair: Row) -> alt.LayerChart:
    rows = _rows(study, pair)
    labels = [row["label"] for row in rows if "label" in row]
    axis = alt.Axis(grid=True, ticks=False, domain=False, labelFontSize=12)
    y = alt.Y("label:N").scale(domain=labels).axis(axis).title(None)

    def x(field: str) -> alt.X:
        axis = style.points_axis()
        return alt.X(field, axis=axis, scale=alt.Scale(zero=True, padding=12), title="difference (points)")

    points, *ends = (alt.Tooltip(f"{name}:Q", format="+.1f") for name in ("points", "low", "high"))
    tooltip = [alt.Tooltip("label:N"), points]
    bar = layer(MEAN).mark_rule(style="ink", strokeWidth=3).encode(x=x("low:Q"), x2="high:Q", y=y)
    return stacked(
        layer("reference").mark_rule(style="zero").encode(x=x("points:Q")),
        layer("seed")
        .mark_circle(style="pair-fill", size=90, opacity=0.9)
        .encode(x=x("points:Q"), y=y, tooltip=tooltip),
        *([bar] if banded(rows) else []),
        layer(MEAN)
        .mark_point(style="ink", shape="diamond", size=130, opacity=1, filled=True)
        .encode(x=x("points:Q"), y=y, tooltip=[*tooltip, *ends]),
        height=len(labels) * (26 if len(labels) < 12 else 16),
    )


def _what_it_shows(pair: Row) -> str:
    found = pair["final_accuracy"]
    n, arm, baseline = found["n"], quoted(pair["arm"]), quoted(pair["baseline"])
    ties = f", level in {found['equal']}" if found["equal"] else ""
    lead = f"{arm} ends ahead of {baseline} in {found['above']} of {count(n, 'seed')}{ties}"
    if found["t_interval"] is None:
        return f"{lead}, by {signed_points(found['mean'])} points; one seed has no interval."
    return (
        f"{lead}; the mean is {signed_points(found['mean'])} points (95 % interval "
        f"{interval(found['t_interval'], signed_points)}, "
        f"sign-flip {p_equals(found['sign_flip_p'])})."
    )
