"""The report of an adversarial study: what it says of generated images."""

import re

import altair as alt
import pytest
import vl_convert

from evenbatch import files, report
from evenbatch.errors import StorageError
from evenbatch.report import card, drawing, page, reading, samples, style
from evenbatch.report.figures import draw
from evenbatch.report.headline import answers, caveats, scale
from evenbatch.report.tables import arms_table, pair_tables, trials_table

TWO = ("batch", "none")


def plain(text):
    return text.replace("\u00a0", " ")


def said(study):
    return [plain(f"{answer.found} {answer.certainty}") for answer in answers(study)]


def rows_of(table):
    return {row[0]: [plain(cell) for cell in row[1:]] for row in table.rows}


def html(study):
    return page.render(study, draw(study), "")


def test_a_shorter_distance_is_said_with_its_size_its_interval_and_who_is_in_favour(read_gan):
    (text,) = said(read_gan(arms=TWO, seeds=6))
    found = r"With batch normalization \(“batch”\) the generator ends at a Fréchet distance of 18\.\d on average, "
    assert re.match(found + r"without \(“none”\) at 2\d\.\d: 6\.\d+ less\.", text)
    assert re.search(r"interval of the difference is −[\d.]+ to −[\d.]+, 6 of 6 seeds are in favour", text)
    assert "sign-flip test gives p = 0.031." in text


def test_a_trap_goes_by_its_name_and_is_not_in_favour(read_gan):
    text = said(read_gan(arms=("batch", "mixed batch"), seeds=6))[0]
    assert text.startswith("“mixed batch” ends at a Fréchet distance of")
    assert " more. " in text
    assert "0 of 6 seeds are in favour" in text


def test_the_second_judge_agrees_or_does_not(read_gan):
    study = read_gan(arms=TWO)
    assert "The second judge, which has no normalization, agrees (" in said(study)[0]
    study.summary["pairs"][0]["final_cross_frechet"]["mean"] = 2.5
    assert "does not agree (2.50 more on its own scale): the ranking hangs on the judge." in said(study)[0]


def test_statistics_that_turn_the_ranking_are_named(read_gan):
    study = read_gan(arms=TWO)
    assert "Sampled with" not in said(study)[0]
    study.summary["pairs"][0]["final_frechet_recalibrated"]["mean"] = 3.0
    assert "Sampled with recalibrated statistics (+3.00), “none” is ahead instead." in said(study)[0]


def test_collapsed_and_diverged_seeds_are_told_apart(read_gan):
    (text,) = said(read_gan(arms=TWO, outcomes={("none", 0): "diverged", ("batch", 1): "collapsed"}))
    assert "“none” diverged with 1 of 3 seeds; the difference speaks for the other seeds alone." in text
    assert "“batch” collapsed with 1 of 3 seeds; such a seed counts with the distance of its last images." in text


def test_floor_ceiling_judge_and_learning_rate_are_told(read_gan):
    study = read_gan(arms=TWO)
    (ends,) = scale(study)
    assert "lie at 0.800 (the floor) and images of noise at 310 (the ceiling)" in ends
    judge, rate = map(plain, caveats(study))
    for part in (
        "cdcdcdcdcdcd…",
        "98.0 %",
        "500 generated images",
        "no published figure",
        "moving statistics",
        "0.999",
    ):
        assert part in judge, part
    assert "at learning rate 0.0001 with Adam" in rate


def test_judges_that_differ_are_told(make_gan):
    folder = make_gan(arms=TWO)
    study = reading.read(folder)
    study.summary["other_judges"] = ["ef" * 32]
    assert "Other trials had another judge (efefefefefef…)" in caveats(study)[1]


def test_the_letters_of_the_published_distance_stand_nowhere(read_gan):
    whole = html(read_gan())
    assert not re.search(r"\bFID\b|inception", whole, re.I)


def test_every_odd_study_has_a_page_and_tables_as_wide_as_their_heads(read_gan, odd_gan):
    study = read_gan(**odd_gan)
    for table in (arms_table(study), trials_table(study), *pair_tables(study)):
        assert {len(row) for row in table.rows} == {len(table.head)}, table.caption
    whole = html(study)
    assert whole.endswith("</html>")
    assert "<script>fail()" not in whole


def test_real_images_and_noise_stand_beside_the_arms(read_gan):
    table = arms_table(read_gan(arms=TWO))
    assert table.head == ["", "batch", "none", "Real images (floor)", "Noise (ceiling)"]
    assert rows_of(table)["Fréchet distance at the end"][2:] == ["0.800", "310"]
    assert rows_of(table)["Generator loss"][2:] == ["", ""]
    assert rows_of(table)["Collapsed"][0] == "0 of 3 (rate 0 % to 56 %)"


def test_a_shorter_distance_and_more_classes_are_better_and_a_loss_is_neither(read_gan):
    rows = rows_of(pair_tables(read_gan(arms=TWO, outcomes={("none", 1): "collapsed"}))[0])
    assert rows["Fréchet distance at the end"][-1] == "3 / 0 / 0"
    assert rows["Classes among the images"][-1] == "1 / 2 / 0"
    assert rows["Generator loss"][-1] == "–"


def test_a_collapsed_trial_is_listed_with_its_epoch(read_gan):
    table = trials_table(read_gan(arms=TWO, seeds=1, outcomes={("batch", 0): "collapsed"}))
    assert [row[2] for row in table.rows] == ["finished, collapsed at 4", "finished"]


def test_the_card_names_the_settings_and_both_judges(read_gan):
    entries = {name: plain(value) for name, value in card.entries(read_gan())}
    assert entries["Arm “mixed batch”"].endswith("step mixed")
    assert "options" not in entries["Arm “batch”"]
    assert "measure every 2, samples 500, resized to none" in entries["Adversarial"]
    assert entries["Judge SHA-256"] == "cd" * 32
    assert entries["Judges"].endswith("and the second judge is right about 97.0 % of held-out images")


def test_the_figures_of_a_usual_study_are_all_there(gan_figures):
    names = list(gan_figures(arms=TWO))
    assert names == [
        *("distance", "statistics-of-sampling", "discriminator-loss", "generator-loss"),
        *("difference-by-epoch", "final-differences", "step-time"),
    ]


def test_every_chart_is_valid_and_has_its_words(gan_figures, odd_gan):
    for figure in gan_figures(**odd_gan).values():
        spec = figure.static_spec()
        alt.LayerChart.from_dict({**spec, "config": style.static_config()})
        assert vl_convert.vegalite_to_svg(spec, vl_version=drawing.VERSION).startswith("<svg")
        assert figure.how_to_read.endswith(".")
        assert figure.what_it_shows == "" or figure.what_it_shows.endswith("."), figure.name
        assert {key for row in figure.rows for key in row} <= set(figure.columns), figure.name


def test_a_curve_goes_over_the_epochs_that_were_measured(gan_figures):
    figure = gan_figures(arms=TWO)["distance"]
    assert {row["epoch"] for row in figure.rows if row["kind"] == "median"} == {2, 4, 6, 8}
    assert {row["name"]: row["value"] for row in figure.rows if row["kind"] == "reference"} == {
        "floor": 0.8,
        "ceiling": 310.0,
    }


def test_a_discriminator_that_knows_nothing_is_drawn(gan_figures):
    figures = gan_figures(arms=TWO)
    values = [figures[name].rows[0]["value"] for name in ("discriminator-loss", "generator-loss")]
    assert values == pytest.approx([1.3863, 0.6931], abs=1e-4)


def test_an_arm_without_moving_statistics_has_no_figure_of_three_ways(gan_figures):
    figures = gan_figures()
    ways = [figure for name, figure in figures.items() if name.startswith("statistics-of-sampling")]
    assert len(ways) == 4
    assert {row["arm"] for figure in ways for row in figure.rows}.isdisjoint({"none"})
    assert {row["statistics"] for row in ways[0].rows} == {"moving", "batch", "recalibrated"}


def test_a_difference_has_no_points_and_is_ahead_below_zero(gan_figures):
    figures = gan_figures(arms=TWO)
    assert figures["difference-by-epoch"].how_to_read.startswith("Below zero the arm is ahead")
    assert "left of the zero line" in figures["final-differences"].how_to_read
    assert "“batch” ends ahead of “none” in 3 of 3 seeds" in figures["final-differences"].what_it_shows
    for name in ("difference-by-epoch", "final-differences"):
        assert "difference" in figures[name].columns
        assert "points" not in figures[name].what_it_shows


def test_the_cost_of_measuring_is_told(gan_figures):
    text = plain(gan_figures(arms=TWO)["step-time"].what_it_shows)
    assert "Drawing and judging images takes 20 % of a trial’s time" in text


def test_every_arms_last_pictures_stand_beside_one_another(read_gan):
    study = read_gan(seeds=6, outcomes={("batch", 1): "collapsed", ("none", 2): "diverged"})
    lines = samples.rows(study)
    assert [line.title for line in lines] == ["Seed 0", "Seed 1", "Seed 2"]
    assert [cell.label for cell in lines[0].cells] == study.arms
    assert lines[0].cells[0].alternative == "Samples of “batch”, seed 0, epoch 8: distance 17.2"
    assert lines[1].cells[0].note.endswith(", collapsed at epoch 4")
    assert lines[2].cells[1].note == "diverged at epoch 2"
    assert lines[0].cells[0].source.startswith("data:image/png;base64,iVBOR")


def test_a_picture_between_two_measurements_has_the_distance_of_the_earlier(make_gan):
    folder = make_gan(arms=TWO, seeds=1)
    (folder / "trials" / "batch-s0" / "grids" / "epoch-008.png").unlink()
    cell = samples.rows(reading.read(folder))[0].cells[0]
    assert re.fullmatch(r"distance [\d.]+ at epoch 6", cell.note)


def test_a_missing_picture_is_said_so(make_gan):
    folder = make_gan(arms=TWO, seeds=1, outcomes={("none", 0): "failed"})
    for path in (folder / "trials" / "batch-s0" / "grids").iterdir():
        path.unlink()
    study = reading.read(folder)
    assert [cell.note for cell in samples.rows(study)[0].cells] == [
        "the picture is missing",
        "no picture: the trial failed",
    ]
    assert 'aria-label="“batch”, seed 0: the picture is missing"' in html(study)


def test_a_picture_that_cannot_be_read_is_named(make_gan):
    folder = make_gan(arms=TWO, seeds=1)
    study = reading.read(folder)
    path = study.of("batch")[0].grids[8]
    path.unlink()
    with pytest.raises(StorageError, match=re.escape(str(path))):
        samples.rows(study)


def test_the_first_seed_is_shown_as_it_came_about(read_gan):
    lines = samples.course(read_gan(arms=TWO))
    assert [line.title for line in lines] == list(TWO)
    assert [cell.label for cell in lines[0].cells] == ["epoch 1", "epoch 3", "epoch 5", "epoch 8"]


def test_many_pairs_are_folded_but_the_first(read_gan):
    assert html(read_gan()).count('<table class="pair folded">') == 3
    assert html(read_gan(arms=TWO)).count("folded") == 1  # in the style sheet


def test_a_study_becomes_a_page_that_loads_nothing(make_gan):
    folder = make_gan(arms=TWO)
    whole = report.write(folder).read_text()
    outside = re.sub(r"(<script[^>]*>).*?</script>", r"\1", whole, flags=re.S)
    assert not re.search(r'<(?:script|img|link)[^>]+(?:src|href)="(?!data:)', outside)
    assert (folder / "data" / "distance.csv").exists()
    assert (folder / "figures" / "distance.png").exists()


@pytest.mark.parametrize("name", ["judge", "floor", "ceiling"])
def test_a_summary_without_its_judge_is_damaged(make_gan, name):
    folder = make_gan(arms=TWO, seeds=1)
    summary = files.read_json(folder / "summary.json")
    del summary[name]
    files.write_json(folder / "summary.json", summary)
    with pytest.raises(StorageError, match=r"summary\.json"):
        report.write(folder)
