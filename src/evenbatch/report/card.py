"""How to reproduce a study: everything that its numbers depend on, as names and values."""

from collections.abc import Iterable
from typing import Any

from evenbatch.report.reading import StudyFiles
from evenbatch.report.sentences import MISSING, listing, number, percent, quoted

LABELS = {"beta_1": "β₁", "ema": "averaged weights’ decay", "resize": "resized to"}
TRAINING = ("optimizer", "epochs", "batch_size", "threads")


def entries(study: StudyFiles) -> list[tuple[str, str]]:
    """Where the study came from, its data, its arms and its settings."""
    spec, record = study.spec, study.record
    return [
        ("Command", record.get("command") or MISSING),
        ("Recipe", spec["recipe"]),
        ("Options", _settings(spec["options"].items()) or "none"),
        ("Data", _data(spec["data"])),
        ("Data SHA-256", spec["data"]["sha256"]),
        ("Seeds", ", ".join(map(str, study.seeds))),
        *((f"Arm {quoted(arm['name'])}", _arm(arm)) for arm in spec["arms"]),
        ("Training", _settings((key, spec[key]) for key in TRAINING)),
        *_adversarial(study),
        ("Device", listing(_devices(study)) or MISSING),
        ("Backend", spec["backend"]),
        ("Versions", _settings(spec["versions"].items())),
        ("Git commit", str(record.get("git") or MISSING)),
        ("Created", record.get("created") or MISSING),
    ]


def shared_weights(study: StudyFiles) -> list[str]:
    """A sentence for each pair on how far its arms began from the same weights."""
    return [
        f"{quoted(pair['arm'])} and {quoted(pair['baseline'])}: {shared['equal']} of the "
        f"{shared['of']} weight arrays that both have, by name, began with the same values."
        for pair in study.summary["pairs"]
        for shared in [pair["equal_initial_weights"]]
    ]


def _data(data: dict[str, Any]) -> str:
    parts = {"training": "train", "validation": "val", "test": "test"}
    sizes = ", ".join(f"{number(data[key])} {part}" for part, key in parts.items())
    shape = " × ".join(map(str, data["input_shape"]))
    return f"{data['name']}: {sizes} examples; inputs {shape}; {data['classes']} classes"


def _arm(arm: dict[str, Any]) -> str:
    own = {key: value for key, value in arm.items() if key not in ("name", "options")}
    return _settings({**own, **arm.get("options", {})}.items())


def _adversarial(study: StudyFiles) -> list[tuple[str, str]]:
    """How generator and discriminator were trained, and by whom their images were judged."""
    if not study.adversarial:
        return []
    judge = study.summary["judge"]
    given = ((LABELS.get(key, key), value) for key, value in study.adversarial.items() if key != "judge")
    said = ((label, "none" if value is None else value) for label, value in given)
    accuracies = ((judge.get("accuracy"), "the judge"), (judge.get("cross_accuracy"), "the second judge"))
    right = [f"{who} is right about {percent(share)}" for share, who in accuracies if share]
    return [
        ("Adversarial", _settings(said)),
        ("Judge SHA-256", judge["sha256"]),
        *([("Judges", f"{listing(right)} of held-out images")] if right else []),
    ]


def _devices(study: StudyFiles) -> list[str]:
    return sorted({trial.record["device"] for trial in study.trials if trial.record.get("device")})


def _settings(values: Iterable[tuple[str, Any]]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values)
