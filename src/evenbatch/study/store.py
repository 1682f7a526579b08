"""A study's directory: what is in it, whose it is, and what is complete.

::

    study.json                 the specification, and where the study came from
    trials/ARM-sSEED/          trial.json  history.csv, or traceback.txt where it failed
                               probes.csv  model.keras; of a GAN grids/  generator.keras  discriminator.keras
    summary.json  report.html  figures/  data/

The directory of `evenbatch train` holds `study.json` and, in place of `trials/`, the one trial's own files.
"""

import shutil
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evenbatch import files
from evenbatch.errors import StorageError, StudyConflict
from evenbatch.study.spec import Specification

FORMAT = 1
STUDY = ("trials", "summary.json", "report.html", "figures", "data")
TRIAL = (
    *("trial.json", "history.csv", "probes.csv", "model.keras", "traceback.txt", "checkpoint.npz", "progress.json"),
    *("learning-curve.svg", "learning-curve.png", "tensorboard"),
    *("generator.keras", "discriminator.keras", "averaged_generator.keras", "grids"),
)
SCRATCH = ".arrays"
OURS = (*STUDY, *TRIAL, SCRATCH, "study.json")


def trial_folder(folder: Path, arm: str, seed: int) -> Path:
    """Where a trial of a study lives."""
    return folder / "trials" / f"{arm}-s{seed}"


def require_free_or_same(folder: Path, spec: Specification, *, force: bool) -> None:
    """Refuses a directory that `claim` would refuse, before any work is done; a judge that is not known yet may differ.

    Raises:
        StudyConflict: it holds another study (unless `force`) or files that are no study.
    """
    if not (folder / "study.json").exists():
        _require_no_strangers(folder)
    elif not force:
        _require_same(folder, spec)
    else:
        read_study(folder)  # a file of that name that is not ours is refused here


def claim(folder: Path, spec: Specification, record: dict[str, Any], *, force: bool) -> None:
    """Makes the directory this study's, or finds that it already is.

    Raises:
        StudyConflict: it holds another study (unless `force`) or files that are no study.
    """
    require_free_or_same(folder, spec, force=force)
    if (folder / "study.json").exists():
        if not force:
            return
        clear(folder)
    content = {"format": FORMAT, "specification": spec.model_dump(mode="json"), "record": record}
    files.write_json(folder / "study.json", content)


def _require_no_strangers(folder: Path) -> None:
    strangers = sorted(path.name for path in folder.iterdir() if path.name != ".lock" and ".partial" not in path.name)
    if strangers:
        raise StudyConflict(
            f"{folder} holds files that are no study ({', '.join(strangers[:3])}); "
            "choose an empty or new directory with --out"
        )


def _require_same(folder: Path, spec: Specification) -> None:
    there = read_specification(folder)
    if spec.adversarial is not None and not spec.adversarial.judge and there.adversarial is not None:
        there = there.model_copy(update={"adversarial": there.adversarial.model_copy(update={"judge": ""})})
    differences = there.differences(spec)
    if differences:
        raise StudyConflict(
            f"{folder} holds another study; choose another directory with --out, or replace it with --force. "
            f"They differ in: {'; '.join(differences)}"
        )


def clear(folder: Path) -> None:
    """Removes a study's own files, `study.json` last, and nothing else."""
    for name in OURS:
        path = folder / name
        try:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise files.storage_error(path, error) from error


def scratch(folder: Path) -> Path:
    """Where arrays lie while worker processes share them: in the study's directory, so that a kill leaks nothing."""
    return folder / SCRATCH


def clear_scratch(folder: Path) -> None:
    """Removes what a killed run left there, or this one."""
    shutil.rmtree(scratch(folder), ignore_errors=True)


def read_study(folder: Path) -> dict[str, Any]:
    """The content of `study.json`.

    Raises:
        StorageError: there is none, or it is no study of this format.
    """
    content: dict[str, Any] = files.read_json(folder / "study.json")
    if not isinstance(content, dict) or content.get("format") != FORMAT or "specification" not in content:
        raise StorageError(
            f"cannot read {folder / 'study.json'}: it is no study of format {FORMAT}; choose another directory"
        )
    return content


def read_specification(folder: Path) -> Specification:
    """The specification of the study in a directory."""
    try:
        return Specification.model_validate(read_study(folder)["specification"])
    except (ValidationError, KeyError) as error:
        raise StorageError(
            f"cannot read {folder / 'study.json'}: its specification is damaged ({str(error).splitlines()[0]}); "
            "choose another directory, or replace it with --force"
        ) from error


def is_complete(folder: Path, arm: str, seed: int) -> bool:
    """Whether a trial ended, finished or diverged; one that failed is tried again."""
    path = trial_folder(folder, arm, seed) / "trial.json"
    return path.exists() and read_trial(folder, arm, seed)["outcome"] != "failed"


def read_trial(folder: Path, arm: str, seed: int) -> dict[str, Any]:
    """The content of a trial's `trial.json`."""
    record: dict[str, Any] = files.read_json(trial_folder(folder, arm, seed) / "trial.json")
    return record


def read_history(folder: Path, arm: str, seed: int) -> list[dict[str, Any]]:
    """A trial's rows, one an epoch; none where it failed."""
    path = trial_folder(folder, arm, seed) / "history.csv"
    return files.read_csv(path) if path.exists() else []


def read_probes(folder: Path, arm: str, seed: int) -> list[dict[str, Any]]:
    """What the probes of a trial found; none where nothing was probed."""
    path = trial_folder(folder, arm, seed) / "probes.csv"
    return files.read_csv(path) if path.exists() else []
