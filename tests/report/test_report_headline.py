import pytest

from evenbatch.report.headline import answers, caveat, seeds_needed


def said(study):
    return [f"{answer.found} {answer.certainty}".replace("\u00a0", " ") for answer in answers(study)]


def test_a_difference_is_said_with_its_size_its_interval_its_seeds_and_its_p(read):
    (text,) = said(read())
    assert text.startswith("With batch normalization the net ends at 93.")
    assert "% validation accuracy on average, without at 48." in text
    assert "44.2 points more." in text
    assert "95 % interval" in text
    assert "6 of 6 seeds are in favour" in text
    assert text.endswith("the exact sign-flip test gives p = 0.031.")


def test_a_worse_arm_has_less(read):
    (text,) = said(read(arms=("without", "with")))
    assert "44.2 points less." in text
    assert "0 of 6 seeds are in favour" in text


def test_arms_that_differ_in_more_than_normalization_go_by_their_names(read):
    (text,) = said(read(arms=("with", "other")))
    assert text.startswith("“with” ends at 93.")


def test_a_large_p_is_no_difference_found(read):
    study = read()
    study.summary["pairs"][0]["final_accuracy"]["sign_flip_p"] = 0.4375
    assert said(study)[0].endswith("p = 0.438: no difference was found.")


def test_too_few_seeds_are_not_testable_and_the_needed_number_is_named(read):
    (text,) = said(read(seeds=3))
    assert "Not testable: with 3 pairs the sign-flip test cannot go below p = 0.25" in text
    assert text.endswith("it takes 6 seeds to get below 0.05.")


def test_six_seeds_are_the_fewest():
    assert seeds_needed() == 6


def test_one_seed_has_no_interval(read):
    (text,) = said(read(seeds=1))
    assert "44.2 points more, with one seed." in text
    assert "no interval and no test" in text


def test_lost_seeds_are_told(read):
    (text,) = said(read(outcomes={("without", 0): "diverged", ("with", 1): "failed"}))
    assert "“with” failed with 1 of 6 seeds and “without” diverged with 1 of 6 seeds;" in text


def test_where_nothing_finished_in_both_there_is_nothing_to_compare(read):
    (text,) = said(read(seeds=2, outcomes={("without", seed): "diverged" for seed in range(2)}))
    assert text.startswith("Nothing to compare: no seed finished in both “with” and “without”.")
    assert "“without” diverged with 2 of 2 seeds." in text


def test_a_study_without_pairs_says_where_its_arm_ended(read):
    (text,) = said(read(arms=("with",)))
    assert "“with” ends at 93." in text
    assert "it compares nothing" in text


def test_a_study_without_pairs_of_which_nothing_finished_says_so(read):
    (text,) = said(read(arms=("with",), seeds=1, outcomes={("with", 0): "diverged"}))
    assert text.startswith("Nothing finished")


def test_every_pair_has_an_answer(read):
    assert len(said(read(arms=("with", "other", "without")))) == 2


def test_the_caveat_names_the_learning_rate(read):
    assert "at learning rate 0.1 with SGD" in caveat(read())


@pytest.mark.parametrize("rate", [1e-3, 1e30])
def test_the_caveat_names_each_arms_own_rate(read, rate):
    study = read()
    study.spec["arms"][0]["learning_rate"] = rate
    assert f"(“with” {rate:g} and “without” 0.1)" in caveat(study)
