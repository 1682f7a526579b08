"""`evenbatch train`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from evenbatch import backend
from evenbatch.cli import tables
from evenbatch.cli.options import key_values
from evenbatch.cli.progress import TrainingProgress
from evenbatch.files import dump_json
from evenbatch.study import Arm, worker
from evenbatch.study.design import design


def run(
    recipe: str,
    *,
    normalize: bool,
    seed: int,
    options: Sequence[str],
    tensorboard: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Fits one network in this process, with all cores, and prints what came out; exit code 1 where it diverged."""
    threads = os.cpu_count() or 1
    with worker.environment(threads, backend.chosen()):
        name = "with" if normalize else "without"
        arms = {name: Arm(normalize)}
        plan = design(recipe, arms=arms, seeds=[seed], threads=threads, options=key_values(options), **settings)
        folder = out or Path("runs") / f"train-{recipe}-{plan.spec.data.name}"
        from evenbatch.study.single import train

        with TrainingProgress() as progress:
            record = train(plan, folder, force=force, tensorboard=tensorboard, watcher=progress)
    if as_json:
        typer.echo(dump_json(record), nl=False)
    else:
        tables.print_trial(folder, record)
    if record["outcome"] != "finished":
        raise typer.Exit(1)
