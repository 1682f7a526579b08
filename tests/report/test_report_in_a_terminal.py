"""A study's summary as a table and sentences in a terminal."""

import pytest

from evenbatch import files
from evenbatch.cli.tables import print_summary


@pytest.fixture
def printed(capsys):
    """What is printed of a study's directory."""

    def of(folder):
        print_summary(folder, files.read_json(folder / "summary.json"))
        return capsys.readouterr().out.replace("\u00a0", " ")

    return of


def row_of(printed, arm):
    (line,) = [line for line in printed.splitlines() if line.startswith(f"│ {arm} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_arms_have_their_distance_and_what_befell_them(printed, make_gan):
    outcomes = {("frozen discriminator", 1): "collapsed", ("no training flag", 2): "diverged"}
    text = printed(make_gan(outcomes=outcomes))
    heads = next(line for line in text.splitlines() if "kernel" in line)
    assert [head.strip() for head in heads.strip("┃").split("┃")] == [
        *("arm", "distance", "range", "best", "kernel", "classes", "collapsed", "diverged", "ms/step")
    ]
    arm, distance, ends, best, *_, collapsed, diverged, step = row_of(text, "frozen discriminator")
    low, high = ends.split("–")
    assert float(low) <= float(distance) <= float(high)
    assert float(best) <= float(distance)
    assert (arm, collapsed, diverged, step) == ("frozen discriminator", "1 of 3", "0 of 3", "20.00")


def test_where_there_is_no_room_the_spread_goes_and_no_digit(printed, make_gan, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(make_gan(outcomes={("none", 1): "collapsed"}))
    assert "range" not in text
    assert "…" not in text.split("With batch")[0]
    assert max(len(line) for line in text.splitlines() if line.startswith("│")) <= 80


def test_the_answers_the_scale_and_the_judge_are_told(printed, make_gan):
    text = printed(make_gan(arms=("batch", "none")))
    assert "the generator ends at a Fréchet distance of" in text
    assert "(the floor)" in text
    assert "cdcdcdcdcdcd…" in text
    assert "This holds at learning rate 0.0001" in text


def test_where_nothing_finished_a_dash_stands_for_it(printed, make_gan):
    outcomes = {(arm, seed): "diverged" for arm in ("batch", "none") for seed in range(2)}
    row = row_of(printed(make_gan(arms=("batch", "none"), seeds=2, outcomes=outcomes)), "none")
    assert row[1:3] == ["–", "–"]


def test_a_classification_has_its_accuracy(printed, make):
    text = printed(make())
    assert row_of(text, "with")[:4] == ["with", "93.1%", "92.6–93.6%", "93.1%"]
    assert "Fréchet" not in text
