from xml.etree import ElementTree

import altair as alt
import pytest
import vl_convert

from evenbatch.report import drawing, reading, style
from evenbatch.report.figures import draw
from evenbatch.report.figures.curves import log_ticks
from evenbatch.report.figures.figure import wrapped


def of_kind(figure, kind):
    return [row for row in figure.rows if row["kind"] == kind]


def marks(spec):
    """How many marks of data an SVG of the chart has, axes and legends left out."""
    svg = vl_convert.vegalite_to_svg(spec, vl_version=drawing.VERSION, config=style.static_config())
    groups = [g for g in ElementTree.fromstring(svg).iter() if "role-mark" in g.get("class", "").split()]
    return sum(child.get("d") != "" for group in groups for child in group)


def test_every_chart_is_valid_and_draws_its_data(figures, odd):
    for figure in figures(**odd).values():
        alt.LayerChart.from_dict({**figure.static_spec(), "config": style.static_config()})
        assert (marks(figure.static_spec()) > 0) == bool(figure.rows), figure.name


def test_every_figure_says_how_to_read_it_and_what_it_shows(figures, odd):
    for figure in figures(**odd).values():
        assert figure.how_to_read.endswith(".")
        assert figure.key in figure.alt_text
        assert figure.what_it_shows == "" or figure.what_it_shows.endswith("."), figure.name


def test_every_row_has_columns_of_the_csv_alone(figures, odd):
    for figure in figures(**odd).values():
        assert {key for row in figure.rows for key in row} <= set(figure.columns), figure.name


def test_the_figures_of_a_usual_study_are_all_there(figures):
    names = list(figures())
    assert names[:4] == ["validation-accuracy", "training-loss", "difference-by-epoch", "final-differences"]
    assert [name for name in names if name.startswith("epochs-to-")] != []
    assert names[-1] == "step-time"


def test_every_pair_has_its_own_figure(figures):
    names = figures(arms=("with", "other", "without"))
    assert {"difference-by-epoch-1", "difference-by-epoch-2"} <= names.keys()
    assert {"final-differences-1", "final-differences-2"} <= names.keys()


def test_a_single_arm_is_compared_with_nothing(figures):
    assert not any("difference" in name for name in figures(arms=("with",)))


def test_the_curves_draw_every_epoch_of_every_seed(figures):
    assert len(of_kind(figures()["validation-accuracy"], "seed")) == 2 * 6 * 8


def test_a_diverged_seed_ends_in_a_cross_at_its_last_value(figures):
    found = figures(outcomes={("without", 3): "diverged"})
    loss, accuracy = (of_kind(found[name], "diverged") for name in ("training-loss", "validation-accuracy"))
    assert [(row["seed"], row["epoch"]) for row in loss] == [(3, 1)]
    assert [(row["seed"], row["epoch"]) for row in accuracy] == [(3, 2)]


def test_a_seed_that_diverged_at_once_has_a_cross_without_a_value(figures):
    cross = of_kind(figures(seeds=1, epochs=1, outcomes={("with", 0): "diverged"})["training-loss"], "diverged")
    assert cross == [{"kind": "diverged", "arm": "with", "seed": 0, "epoch": 1}]


def test_the_band_lies_around_the_median(figures):
    for row in of_kind(figures()["training-loss"], "median"):
        assert row["low"] < row["value"] < row["high"]
        assert row["n"] == 6


def test_the_key_names_the_band_and_the_seeds(figures):
    key = figures()["validation-accuracy"].key.replace("\u00a0", " ")
    assert "interquartile range over seeds, pointwise" in key
    assert "n = 6 seeds an arm" in key


def test_the_final_differences_are_the_summarys(read):
    study = read()
    found = {figure.name: figure for figure in draw(study)}["final-differences"]
    pair = study.summary["pairs"][0]["final_accuracy"]
    assert [row["points"] / 100 for row in of_kind(found, "seed")] == pytest.approx(pair["differences"])
    (mean,) = of_kind(found, "mean")
    assert (mean["low"] / 100, mean["high"] / 100) == pytest.approx(tuple(pair["t_interval"]))


def test_a_step_curve_ends_at_the_share_that_reached_and_marks_the_rest(read):
    study = read()
    index = len(study.summary["thresholds"]) - 1  # the highest: “without” stays below it
    figure = [f for f in draw(study) if f.name.startswith("epochs-to-")][index]
    last = {row["arm"]: row["share"] for row in of_kind(figure, "step")}
    assert last == {"with": 1.0, "without": 0.0}
    assert [(row["arm"], row["epoch"]) for row in of_kind(figure, "censored")] == [("without", 8)]
    assert "“without” reaches it in 0 of 6 within 8 epochs" in figure.what_it_shows


def test_a_step_rises_in_the_epoch_that_reached_the_threshold(read):
    study = read()
    figure = next(f for f in draw(study) if f.name.startswith("epochs-to-"))
    first = min(study.summary["arms"]["with"]["epochs_to"][0]["times"])
    steps = [row["epoch"] for row in of_kind(figure, "step") if row["arm"] == "with" and row["share"] > 0]
    assert steps[0] == first


def test_a_step_time_is_in_milliseconds(figures):
    rows = of_kind(figures(arms=("with",))["step-time"], "seed")
    assert [row["milliseconds"] for row in rows] == pytest.approx([2.0, 2.1, 2.2, 2.3, 2.4, 2.5])


def test_the_cost_says_the_summarys_ratio_and_that_it_is_indicative(read):
    study = read()
    figure = {figure.name: figure for figure in draw(study)}["step-time"]
    ratio = study.summary["timing"]["ratios"][0]["median"]
    assert f"{ratio:.2f}\u00a0times as long" in figure.what_it_shows
    assert "indicative" in figure.how_to_read


def test_dropout_before_a_normalization_has_its_figure(figures):
    figure = figures(arms=("dropped", "without"))["variance-shift"]
    assert {row["layer"]: row["ratio"] for row in of_kind(figure, "layer")} == {"n1": 1.0, "n2": 0.4}
    assert "40\u00a0% (n2 of “dropped”, dropout 50\u00a0%)" in figure.what_it_shows


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.9, 2.4, [1, 2]),
        (2.1, 4.6, [2.6, 3.1, 3.6, 4.1]),
        (0.02, 2.5, [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2]),
        (1e-5, 20, [1e-5, 1e-4, 1e-3, 0.01, 0.1, 1, 10]),
        (1e-9, 1e9, [1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9]),
    ],
)
def test_a_logarithmic_axis_has_round_ticks(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_a_key_is_wrapped_between_words():
    assert wrapped("aa bb cc", columns=5) == ["aa bb", "cc"]


def test_a_failed_trial_has_no_history(read):
    study: reading.StudyFiles = read(seeds=1, outcomes={("with", 0): "failed"})
    assert study.of("with")[0].history == []


def test_a_difference_of_one_pair_claims_no_interval(figures):
    figure = figures(seeds=1)["difference-by-epoch"]
    assert figure.key.replace("\u00a0", " ").endswith("no interval of one pair; n = 1 pair")
    assert all("low" not in row or row["low"] is None for row in figure.rows)


def test_the_difference_says_where_it_leaves_zero(figures):
    figure = figures()["difference-by-epoch"]
    assert "The whole interval lies above zero at 8 of 8 epochs, first at epoch 1." in figure.what_it_shows


@pytest.mark.parametrize(
    ("epochs", "ticks", "ends"), [(1, [1], [0.5, 1.5]), (4, [1, 2, 3, 4], [1, 4]), (60, None, [1, 60])]
)
def test_an_axis_of_few_epochs_names_each(epochs, ticks, ends):
    axis = style.epoch_axis(epochs).to_dict(context={"pre_transform": False})
    assert axis["axis"].get("values") == ticks
    assert axis["scale"]["domain"] == ends


def test_long_names_stand_under_one_another_in_the_legend():
    assert style.arm_legend(["with", "without"]).to_dict()["columns"] == 2
    assert style.arm_legend(["with", "a name of more letters"]).to_dict()["columns"] == 1
