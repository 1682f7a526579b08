"""`evenbatch train`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from evenbatch.cli.options import (
    BatchSize,
    Data,
    Epochs,
    Force,
    Json,
    LearningRate,
    Out,
    RecipeOptions,
    key_values,
)


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The network to train.")],
    data: Data = "digits",
    normalize: Annotated[bool, typer.Option("--with/--without", help="With or without batch normalization.")] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Fixes initial weights and batch order.")] = 0,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    option: RecipeOptions = None,
    threads: Annotated[int | None, typer.Option(metavar="N", help="Threads. Default: as many as cores.")] = None,
    devices: Annotated[
        int,
        typer.Option(
            metavar="N", help="Devices that share every batch: GPUs, or parts of the CPU where there are none."
        ),
    ] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard logs to DIR/tensorboard.")
    ] = False,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fit one network: model, history and learning curve in DIR. The same command goes on where it was stopped."""
    from evenbatch import backend
    from evenbatch.cli import tables
    from evenbatch.cli.progress import TrainingProgress
    from evenbatch.devices import prepare
    from evenbatch.errors import require_count
    from evenbatch.files import dump_json
    from evenbatch.study import Arm, single, worker
    from evenbatch.study.design import design

    threads = threads if threads is not None else os.cpu_count() or 1
    with worker.environment(threads, backend.chosen()):
        prepare(require_count("devices", devices))
        plan = design(
            recipe,
            data=data,
            arms={"with" if normalize else "without": Arm(normalize)},
            seeds=[seed],
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            options=key_values(option),
            threads=threads,
            devices=devices,
        )
        folder = out or Path("runs") / f"train-{recipe}-{plan.spec.data.name}"
        with TrainingProgress() as progress:
            record = single.train(plan, folder, force=force, tensorboard=tensorboard, watcher=progress)
    if as_json:
        typer.echo(dump_json(record), nl=False)
    else:
        tables.print_trial(folder, record)
    if record["outcome"] != "finished":
        raise typer.Exit(1)
