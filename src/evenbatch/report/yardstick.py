"""What the distance of generated images is worth: its judge, its ends, and what speaks against a ranking by it."""

from evenbatch.report import question
from evenbatch.report.question import WAYS
from evenbatch.report.reading import Row, StudyFiles
from evenbatch.report.sentences import SPACE, count, event, listing, number, percent, quoted, signed_number

DIGITS = 12  # of a judge's hash, enough to tell judges apart


def scale(study: StudyFiles) -> list[str]:
    """Where the distances of real images and of noise lie, where a trial found them."""
    floor, ceiling = study.summary["floor"], study.summary["ceiling"]
    if not floor or not ceiling:
        return []
    return [
        f"On this scale real images that no generator was trained on lie at {number(floor['frechet'])} (the floor) "
        f"and images of noise at {number(ceiling['frechet'])} (the ceiling); less is better."
    ]


def caveats(study: StudyFiles) -> list[str]:
    """What the distance is and what it does not compare with."""
    settings, judge = study.adversarial or {}, study.summary["judge"]
    images = count(judge.get("samples") or settings["samples"], "generated image")
    averaged = f", with weights averaged by a decay of {settings['ema']:g}" if settings.get("ema") else ""
    right = f", right about {percent(judge['accuracy'])} of held-out images" if judge.get("accuracy") else ""
    said = [
        f"The Fréchet distance compares the features that a judge sees in {images} and in as many real ones. The judge "
        f"is a small classifier trained on the same data set (SHA-256 {judge['sha256'][:DIGITS]}…{right}). The "
        "distance is biased in the number of images, so it compares with distances of the same judge and number alone, "
        f"and with no published figure. Images were sampled with {settings['statistics']} statistics{averaged}."
    ]
    others = study.summary.get("other_judges")
    if others:
        names = listing([f"{sha256[:DIGITS]}…" for sha256 in others])
        said.append(f"Other trials had another judge ({names}): their distances do not compare with these.")
    return said


def doubts(study: StudyFiles, pair: Row) -> list[str]:
    """Whether the second judge and the other ways of sampling rank a pair alike, and which seeds collapsed."""
    arms = study.summary["arms"]
    collapsed = [text for side in ("arm", "baseline") for text in event(pair[side], arms[pair[side]], "collapsed")]
    counted = f"{listing(collapsed)}; such a seed counts with the distance of its last images." if collapsed else ""
    found = (_second_judge(study, pair), _other_ways(study, pair), counted)
    return [sentence for sentence in found if sentence]


def _is_sure(found: Row) -> bool:
    """Whether the interval of a difference leaves out none."""
    ends = found["t_interval"]
    return ends is not None and (ends[0] > 0) == (ends[1] > 0)


def _second_judge(study: StudyFiles, pair: Row) -> str:
    """A ranking of arms with and without batch normalization must not hang on a judge that has it."""
    ours, theirs = pair[question.of(study).decisive.name], pair["final_cross_frechet"]
    if not theirs["n"] or not ours["mean"]:
        return ""
    size = f"{number(abs(theirs['mean']))}{SPACE}{'more' if theirs['mean'] > 0 else 'less'}"
    if ours["mean"] * theirs["mean"] > 0:
        return f"The second judge, which has no normalization, agrees ({size} on its own scale)."
    if not (_is_sure(ours) and _is_sure(theirs)):
        return (
            f"The second judge, which has no normalization, finds {size} on its own scale; at least one of the two "
            "differences is too small to be told from none."
        )
    return (
        f"The second judge, which has no normalization, does not agree ({size} on its own scale): the ranking hangs on "
        "the judge."
    )


def _other_ways(study: StudyFiles, pair: Row) -> str:
    """The statistics of sampling under which the other arm is ahead."""
    ours = pair[question.of(study).decisive.name]["mean"]
    sure = [way for way in WAYS if _is_sure(pair[f"final_frechet_{way}"])]
    means = {way: pair[f"final_frechet_{way}"]["mean"] for way in sure}
    turned = [f"{way} statistics ({signed_number(mean)})" for way, mean in means.items() if mean and mean * ours < 0]
    if not turned:
        return ""
    ahead = pair["arm"] if ours > 0 else pair["baseline"]
    return f"Sampled with {listing(turned)}, {quoted(ahead)} is ahead instead."
