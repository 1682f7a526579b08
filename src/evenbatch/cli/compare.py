"""`evenbatch compare`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from evenbatch.cli import tables
from evenbatch.cli.options import key_values
from evenbatch.cli.progress import StudyProgress
from evenbatch.errors import InvalidArgument
from evenbatch.files import dump_json
from evenbatch.study import Arm
from evenbatch.study.design import DEFAULT_ARMS, design
from evenbatch.study.study import Study, carry_out, default_folder


def run(
    recipe: str,
    *,
    initial_scales: Sequence[float],
    options: Sequence[str],
    jobs: int | None,
    out: Path | None,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Carries out a study and prints its summary; exit code 1 where some trials failed."""
    arms, pairs = arms_of(initial_scales)
    plan = design(recipe, arms=arms, pairs=pairs, options=key_values(options), **settings)
    study = carry_out(plan, out or default_folder(plan), jobs=jobs, force=force, watcher=StudyProgress())
    summary = study.summary()
    if as_json:
        typer.echo(dump_json(summary), nl=False)
    else:
        _show(study, summary)
    if any(arm["failed"] for arm in summary["arms"].values()):
        raise typer.Exit(1)


def arms_of(initial_scales: Sequence[float]) -> tuple[dict[str, Arm], list[tuple[str, str]] | None]:
    """With and without, for each spread of the initial weights; pairs stay within a spread."""
    if not initial_scales:
        return dict(DEFAULT_ARMS), None
    if len(set(initial_scales)) < len(initial_scales):
        raise InvalidArgument(f"--initial-scale must be given once for each value, received {list(initial_scales)}")
    arms, pairs = {}, []
    for scale in initial_scales:
        names = [f"{name}, weights ×{scale:g}" for name in DEFAULT_ARMS]
        pairs.append((names[0], names[1]))
        for name, arm in zip(names, DEFAULT_ARMS.values(), strict=True):
            arms[name] = Arm(arm.normalize, initial_scale=scale)
    return arms, pairs


def _show(study: Study, summary: dict[str, Any]) -> None:
    tables.print_summary(study.folder, summary)
    typer.echo(f"Report: {study.folder / 'report.html'}")
