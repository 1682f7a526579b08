"""The answer of a study in a few sentences, made from its numbers."""

from dataclasses import dataclass

from evenbatch.report import question, yardstick
from evenbatch.report.question import Question
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, count, interval, listing, losses, p_equals, quoted

SIGNIFICANT = 0.05
OPTIMIZERS = {"sgd": "SGD", "momentum": "SGD with momentum", "adam": "Adam"}


@dataclass(frozen=True)
class Answer:
    """What one pair of arms came to: what was found, and how sure one can be of it."""

    found: str
    certainty: str


def answers(study: StudyFiles) -> list[Answer]:
    """An answer for each pair; for a study without pairs, what its arms came to."""
    pairs = study.summary["pairs"]
    return [_answer(study, pair) for pair in pairs] if pairs else [_unpaired(study)]


def scale(study: StudyFiles) -> list[str]:
    """What the values of the answers are to be held against, where they do not speak for themselves."""
    return yardstick.scale(study) if study.adversarial else []


def caveats(study: StudyFiles) -> list[str]:
    """What the answers do not say: of the judge where there is one, and of other learning rates."""
    return [*(yardstick.caveats(study) if study.adversarial else []), caveat(study)]


def caveat(study: StudyFiles) -> str:
    """At which learning rate all this holds."""
    rates = {arm["name"]: f"{arm['learning_rate']:g}" for arm in study.spec["arms"]}
    where = f"at learning rate {study.spec['arms'][0]['learning_rate']:g}"
    if len(set(rates.values())) > 1:
        own = listing([f"{quoted(name)} {rate}" for name, rate in rates.items()])
        where = f"at the arms’ own learning rates ({own})"
    optimizer = study.spec["optimizer"]
    return (
        f"This holds {where} with {OPTIMIZERS.get(optimizer, optimizer)} and "
        f"{count(study.epochs, 'epoch')}. What normalization is worth depends on the learning "
        "rate: at another one the difference can be larger, smaller or gone, so compare the arms "
        "at several before you generalize."
    )


def seeds_needed() -> int:
    """The smallest number of pairs whose sign-flip test can reach `SIGNIFICANT`."""
    return next(n for n in range(1, 64) if 2 / 2**n <= SIGNIFICANT)


def _answer(study: StudyFiles, pair: Row) -> Answer:
    asked = question.of(study)
    found, lost = pair[asked.decisive.name], _lost(study, pair)
    if not found["n"]:
        return _nothing_to_compare(asked, pair, lost)
    arm, baseline = _names(study, asked.subject, pair)
    form = asked.decisive.unit.form
    certainty = [_certainty(asked, found)]
    if lost:
        certainty.append(f"{listing(lost)}; the difference speaks for the other seeds alone.")
    if study.adversarial:
        certainty += yardstick.doubts(study, pair)
    return Answer(
        f"{arm} ends at {asked.reached.format(form(found['arm_mean']))}{_on_average(found)}, "
        f"{baseline} at {form(found['baseline_mean'])}: {_difference(asked, found)}.",
        " ".join(certainty),
    )


def _names(study: StudyFiles, subject: str, pair: Row) -> tuple[str, str]:
    """The arms of a pair in words, where all that differs is batch normalization; else by name."""
    arm, baseline = study.arm(pair["arm"]), study.arm(pair["baseline"])
    names = quoted(pair["arm"]), quoted(pair["baseline"])
    same = all(arm.get(key) == baseline.get(key) for key in ("initial_scale", "learning_rate", "options"))
    if not same or (arm["normalize"], baseline["normalize"]) != ("batch", "none"):
        return names
    if (pair["arm"], pair["baseline"]) == ("with", "without"):
        return f"With batch normalization {subject}", "without"
    return f"With batch normalization ({names[0]}) {subject}", f"without ({names[1]})"


def _on_average(found: Row) -> str:
    return " on average" if found["n"] > 1 else ""


def _difference(asked: Question, found: Row) -> str:
    mean, unit = found["mean"], asked.decisive.unit
    size = f"{unit.size(mean)} {'more' if mean > 0 else 'less'}" if mean else "no difference at all"
    return size if found["n"] > 1 else f"{size}, with one seed"


def _certainty(asked: Question, found: Row) -> str:
    """The interval, the seeds and the test, or why there is none."""
    n, needed = found["n"], seeds_needed()
    if found["t_interval"] is None:
        return f"One pair of seeds gives no interval and no test; with {needed} the difference becomes testable."
    unit, (better, *_) = asked.decisive.unit, asked.decisive.outcome(found)
    ends = interval(found["t_interval"], unit.signed) + unit.after
    favour = f"{better} of {count(n, 'seed')} are in favour"
    lead = f"The 95{SPACE}% interval of the difference is {ends}, {favour}"
    if found["smallest_p"] > SIGNIFICANT:
        return (
            f"{lead}. Not testable: with {count(n, 'pair')} the sign-flip test cannot go below "
            f"{p_equals(found['smallest_p'])}; it takes {needed} seeds to get below {SIGNIFICANT}."
        )
    verdict = "" if found["sign_flip_p"] <= SIGNIFICANT else ": no difference was found"
    test = f"the exact sign-flip test gives {p_equals(found['sign_flip_p'])}"
    return f"{lead}, and {test}{verdict}."


def _lost(study: StudyFiles, pair: Row) -> list[str]:
    arms = study.summary["arms"]
    return [text for side in ("arm", "baseline") for text in losses(pair[side], arms[pair[side]])]


def _nothing_to_compare(asked: Question, pair: Row, lost: list[str]) -> Answer:
    reason = listing(lost) if lost else f"None has a final {asked.noun.split()[-1]}"
    return Answer(
        f"Nothing to compare: no seed finished in both {quoted(pair['arm'])} and {quoted(pair['baseline'])}.",
        f"{reason}. What happened before that is in the tables and the figures.",
    )


def _unpaired(study: StudyFiles) -> Answer:
    asked = question.of(study)
    ends = {name: arm[asked.decisive.name] for name, arm in study.summary["arms"].items()}
    form = asked.decisive.unit.form
    said = [
        f"{quoted(name)} ends at {asked.reached.format(form(found['mean']))} (mean of {count(found['n'], 'seed')})"
        for name, found in ends.items()
        if found["n"]
    ]
    found = f"{listing(said)}." if said else "Nothing finished: every trial diverged or failed."
    return Answer(found, "The study has no pair of arms, so it compares nothing.")
