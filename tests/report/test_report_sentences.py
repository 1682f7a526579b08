import pytest

from evenbatch.report import sentences as say


def spaced(text: str) -> str:
    return text.replace(say.SPACE, " ")


@pytest.mark.parametrize(
    ("form", "value", "text"),
    [
        (say.percent, 0.9749, "97.5 %"),
        (say.percent, 0.0, "0.0 %"),
        (say.percent, -0.0001, "0.0 %"),
        (say.level, 0.54, "54 %"),
        (say.points, -0.125, "12.5 points"),
        (say.signed_points, 0.8746, "+87.5"),
        (say.signed_points, -0.031, "−3.1"),
        (say.signed_points, -0.0001, "0.0"),
        (say.number, 0.027615, "0.0276"),
        (say.number, 2.3, "2.30"),
        (say.number, 28610, "28,610"),
        (say.number, -1234.5, "−1,234"),
        (say.number, 0, "0"),
        (say.number, 1e30, "1.00e+30"),
        (say.signed_number, 1.79, "+1.79"),
        (say.signed_number, -0.5, "−0.500"),
        (say.signed_number, 0, "0"),
        (say.times, 1.106, "1.11 times"),
        (say.milliseconds, 0.001627, "1.63 ms"),
        (say.epochs, 10.0, "10"),
        (say.epochs, 10.5, "10.5"),
        (say.p_value, 0.03125, "0.031"),
        (say.p_value, 0.25, "0.25"),
        (say.p_value, 0.125, "0.125"),
        (say.p_value, 1.0, "1"),
        (say.p_value, 0.0001, "< 0.001"),
        (say.p_equals, 0.03125, "p = 0.031"),
        (say.p_equals, 0.0001, "p < 0.001"),
    ],
)
def test_a_number_is_said(form, value, text):
    assert spaced(form(value)) == text


@pytest.mark.parametrize(
    "form",
    [say.percent, say.level, say.points, say.signed_points, say.number, say.signed_number, say.times, say.p_value],
)
def test_a_missing_number_is_a_dash(form):
    assert form(None) == say.MISSING


def test_an_interval_has_both_ends_in_one_format():
    assert say.interval((-0.013, 0.056), say.signed_points) == "−1.3 to +5.6"


def test_a_missing_interval_is_a_dash():
    assert say.interval(None, say.percent) == say.MISSING


@pytest.mark.parametrize(("n", "text"), [(0, "0 seeds"), (1, "1 seed"), (6, "6 seeds")])
def test_a_count_has_its_plural(n, text):
    assert say.count(n, "seed") == text


@pytest.mark.parametrize(
    ("parts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_a_listing_reads_as_prose(parts, text):
    assert say.listing(parts) == text


def test_the_losses_of_an_arm_are_named_by_their_kind():
    arm = {"trials": 6, "diverged": 2, "failed": 1}
    assert say.losses("a", arm) == ["“a” diverged with 2 of 6 seeds", "“a” failed with 1 of 6 seeds"]


def test_an_arm_without_losses_has_none():
    assert say.losses("a", {"trials": 6, "diverged": 0, "failed": 0}) == []
