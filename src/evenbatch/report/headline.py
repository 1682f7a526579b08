"""The answer of a study in a few sentences, made from its numbers."""

from dataclasses import dataclass

from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import (
    count,
    interval,
    listing,
    number,
    p_equals,
    percent,
    points,
    quoted,
    signed_points,
)

SIGNIFICANT = 0.05


@dataclass(frozen=True)
class Answer:
    """What one pair of arms came to: what was found, and how sure one can be of it."""

    found: str
    certainty: str


def answers(study: StudyFiles) -> list[Answer]:
    """An answer for each pair; for a study without pairs, what its arms came to."""
    pairs = study.summary["pairs"]
    return [_answer(study, pair) for pair in pairs] if pairs else [_unpaired(study)]


def caveat(study: StudyFiles) -> str:
    """At which learning rate all this holds."""
    rates = {arm["name"]: arm["learning_rate"] for arm in study.spec["arms"]}
    if len(set(rates.values())) == 1:
        where = f"at learning rate {number(next(iter(rates.values())))}"
    else:
        where = (
            f"at the arms' own learning rates ({listing([_rate(*item) for item in rates.items()])})"
        )
    return (
        f"This holds {where} with {study.spec['optimizer']} and {count(study.epochs, 'epoch')}. "
        "What normalization is worth depends on the learning rate: at another one the difference can be "
        "larger, smaller or gone, so compare the arms at several before you generalize."
    )


def seeds_needed() -> int:
    """The smallest number of pairs whose sign-flip test can reach `SIGNIFICANT`."""
    return next(n for n in range(1, 64) if 2 / 2**n <= SIGNIFICANT)


def _rate(name: str, rate: float) -> str:
    return f"{quoted(name)} {number(rate)}"


def _answer(study: StudyFiles, pair: Row) -> Answer:
    found = pair["final_accuracy"]
    if not found["n"]:
        return _no_comparison(study, pair)
    arm, baseline = _names(study, pair)
    ours, theirs = (
        study.summary["arms"][pair[side]]["final_accuracy"]["mean"] for side in ("arm", "baseline")
    )
    ends = f"{arm} the net ends at {percent(ours)} validation accuracy, {baseline} at {percent(theirs)}"
    lost = _lost(study, pair)
    return Answer(f"{ends}: {_difference(found)}.", f"{_certainty(found)}{lost}")


def _names(study: StudyFiles, pair: Row) -> tuple[str, str]:
    """The arms of a pair in words, where all that differs is batch normalization; else by name."""
    arm, baseline = study.arm(pair["arm"]), study.arm(pair["baseline"])
    same = all(arm[key] == baseline[key] for key in ("initial_scale", "learning_rate"))
    if same and (arm["normalize"], baseline["normalize"]) == ("batch", "none"):
        usual = (pair["arm"], pair["baseline"]) == ("with", "without")
        names = (
            ("", "") if usual else (f" ({quoted(pair['arm'])})", f" ({quoted(pair['baseline'])})")
        )
        return f"With batch normalization{names[0]}", f"without{names[1]}"
    return f"In {quoted(pair['arm'])}", f"in {quoted(pair['baseline'])}"


def _difference(found: Row) -> str:
    mean = found["mean"]
    size = f"{points(mean)} {'more' if mean > 0 else 'less'}" if mean else "no difference at all"
    return size if found["n"] > 1 else f"{size}, with one seed"


def _certainty(found: Row) -> str:
    """The interval, the seeds and the test, or why there is none."""
    n, needed = found["n"], seeds_needed()
    if found["t_interval"] is None:
        return f"One pair of seeds gives no interval and no test; {needed} would make the difference testable."
    within = f"The 95 % interval of the difference is {interval(found['t_interval'], signed_points)} points"
    favour = f"{found['above']} of {count(n, 'seed')} are in favour"
    if found["smallest_p"] > SIGNIFICANT:
        return (
            f"{within}, and {favour}. Not testable: with {count(n, 'pair')} the sign-flip test cannot go below "
            f"{p_equals(found['smallest_p'])}; {needed} seeds are needed for {p_equals(SIGNIFICANT)}."
        )
    test = (
        f"{within}, {favour}, and the exact sign-flip test gives {p_equals(found['sign_flip_p'])}"
    )
    return (
        f"{test}." if found["sign_flip_p"] <= SIGNIFICANT else f"{test}: no difference was found."
    )


def _lost(study: StudyFiles, pair: Row) -> str:
    """A sentence on the trials that ended without a result, and so are in no difference."""
    said = [
        _outcome(study, pair[side], word)
        for side in ("arm", "baseline")
        for word in ("diverged", "failed")
    ]
    lost = [text for text in said if text]
    if not lost:
        return ""
    return f" {listing(lost)}: those seeds are left out of the difference, which speaks for the rest alone."


def _outcome(study: StudyFiles, arm: str, word: str) -> str:
    found = study.summary["arms"][arm]
    return (
        f"{quoted(arm)} {word} with {found[word]} of {count(found['trials'], 'seed')}"
        if found[word]
        else ""
    )


def _no_comparison(study: StudyFiles, pair: Row) -> Answer:
    lost = _lost(study, pair).split(":")[0].strip()
    reason = f"{lost}." if lost else "No seed has a final accuracy in both arms."
    return Answer(
        f"There is no final difference between {quoted(pair['arm'])} and {quoted(pair['baseline'])}: no seed "
        "finished in both.",
        f"{reason} Divergence is a result in itself; the tables below count it.",
    )


def _unpaired(study: StudyFiles) -> Answer:
    ends = {name: arm["final_accuracy"] for name, arm in study.summary["arms"].items()}
    said = [
        f"{quoted(name)} ends at {percent(found['mean'])} validation accuracy (mean of {count(found['n'], 'seed')})"
        for name, found in ends.items()
        if found["n"]
    ]
    found = f"{listing(said)}." if said else "Nothing finished: every trial diverged or failed."
    return Answer(found, "The study has no pair of arms, so it compares nothing.")
