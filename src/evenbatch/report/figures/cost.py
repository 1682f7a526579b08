"""What an arm costs: the time of an optimizer step, seed by seed."""

import altair as alt

from evenbatch.report import style
from evenbatch.report.figures.figure import Figure, layer, stacked
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import count, epochs, level, listing, milliseconds, quoted, times

COLUMNS = ("kind", "arm", "seed", "milliseconds")


def cost(study: StudyFiles) -> list[Figure]:
    """The figure of step times, or nothing where no trial was long enough to time one."""
    rows = _rows(study)
    if not rows:
        return []
    return [
        Figure(
            name="step-time",
            group="Cost",
            title="Time of a training step",
            key="Mark: one seed (median over its epochs after the first); bar: median of the arm",
            chart=_chart(study),
            columns=COLUMNS,
            rows=rows,
            how_to_read="Further right is slower. Trials may have run side by side and shared the "
            "machine, so the times are indicative: take the ratio, not the milliseconds, and "
            "distrust a small one.",
            what_it_shows=" ".join(
                [_medians(study), *map(_ratio, _ratios(study)), *_break_even(study), *_measuring(study)]
            ),
        )
    ]


def _rows(study: StudyFiles) -> list[Row]:
    seeds: list[Row] = [
        {
            "kind": "seed",
            "arm": trial.arm,
            "seed": trial.seed,
            "milliseconds": 1000 * trial.step_seconds,
        }
        for trial in study.trials
        if trial.step_seconds is not None
    ]
    medians: list[Row] = [
        {"kind": "median", "arm": arm, "milliseconds": 1000 * found["median"]}
        for arm, found in study.summary["timing"]["step_seconds"].items()
        if found["median"] is not None
    ]
    return [*seeds, *medians]


def _chart(study: StudyFiles) -> alt.LayerChart:
    axis = alt.Axis(ticks=False, domain=False, grid=True, labelLimit=110, labelFontSize=13)
    y = alt.Y("arm:N").scale(domain=study.arms).axis(axis).title(None)
    x = alt.X("milliseconds:Q").scale(zero=True).axis(tickCount=6).title("milliseconds a step")
    color, shape = style.color(study.arms), style.shape(study.arms)
    tooltip = ["arm:N", "seed:N", alt.Tooltip("milliseconds:Q", format=".3~g")]
    return stacked(
        layer("median").mark_tick(thickness=3, size=34).encode(x=x, y=y, color=color, tooltip=tooltip[::2]),
        layer("seed")
        .mark_point(size=70, filled=True, opacity=0.75)
        .encode(x=x, y=y, color=color, shape=shape, tooltip=tooltip),
        height=52 * len(study.arms),
    )


def _medians(study: StudyFiles) -> str:
    found = study.summary["timing"]["step_seconds"]
    said = [f"{milliseconds(of['median'])} for {quoted(arm)}" for arm, of in found.items() if of["n"]]
    return f"The median step takes {listing(said)}."


def _measuring(study: StudyFiles) -> list[str]:
    """What judging the images costs, where images are judged."""
    found = study.summary["timing"].get("measuring_share", {})
    medians = [of["median"] for of in found.values() if of["n"]]
    if not medians:
        return []
    low, high = level(min(medians)), level(max(medians))
    share = low if low == high else f"{low} to {high}"
    return [f"Drawing and judging images takes {share} of a trial’s time (median of an arm) and is in no step’s."]


def _ratios(study: StudyFiles) -> list[Row]:
    return [ratio for ratio in study.summary["timing"]["ratios"] if ratio["median"] is not None]


def _ratio(ratio: Row) -> str:
    within = f"from {ratio['min']:.2f} to {ratio['max']:.2f} over seeds"
    return (
        f"Seed by seed a step of {quoted(ratio['arm'])} takes {times(ratio['median'])} as long as "
        f"one of {quoted(ratio['baseline'])} ({within})."
    )


def _break_even(study: StudyFiles) -> list[str]:
    """For each timed pair, whether the epochs that it saves pay for its dearer steps."""
    said = (_pays(study, ratio) for ratio in _ratios(study))
    return [sentence for sentence in said if sentence]


def _pays(study: StudyFiles, ratio: Row) -> str | None:
    arms = study.summary["arms"]
    sides = (arms[ratio["arm"]]["epochs_to"], arms[ratio["baseline"]]["epochs_to"])
    reached = [(a, b) for a, b in zip(*sides, strict=True) if a["median"] is not None]
    shared = [(a, b) for a, b in reached if b["median"] is not None]
    if shared:
        return _gain(ratio, *shared[-1])
    return _alone(ratio, *reached[-1], study.epochs) if reached else None


def _gain(ratio: Row, arm: Row, baseline: Row) -> str:
    """Both get there: the epochs of one at its price over the epochs of the other."""
    fewer = arm["median"] / baseline["median"]
    share = fewer * ratio["median"]
    verdict = "the epochs saved pay for the steps"
    if fewer >= 1:
        verdict = "it saves no epochs that could pay for its steps"
    elif share >= 1:
        verdict = "the epochs saved do not pay for the steps"
    return (
        f"{quoted(ratio['arm'])} reaches {level(arm['threshold'])} at epoch "
        f"{epochs(arm['median'])} in the median and {quoted(ratio['baseline'])} at "
        f"{epochs(baseline['median'])}: at these step times that is {times(share)} the training "
        f"time, so {verdict}."
    )


def _alone(ratio: Row, arm: Row, baseline: Row, budget: int) -> str:
    """The baseline does not get there, so there is no number of epochs to set against the price."""
    return (
        f"{quoted(ratio['arm'])} reaches {level(arm['threshold'])} at epoch "
        f"{epochs(arm['median'])} in the median; {quoted(ratio['baseline'])} gets there in "
        f"{baseline['reached']} of {baseline['n']} seeds within {count(budget, 'epoch')}, so the price of a "
        "step buys what the baseline does not reach."
    )
