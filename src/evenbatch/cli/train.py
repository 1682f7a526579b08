"""`evenbatch train`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evenbatch.cli.options import (
    BatchSize,
    Data,
    Epochs,
    Force,
    Json,
    LearningRate,
    Out,
    Preset,
    RecipeOptions,
    key_values,
)
from evenbatch.errors import InvalidArgument

if TYPE_CHECKING:
    from evenbatch.study import Arm


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The network to train.")],
    data: Data = "digits",
    normalize: Annotated[bool, typer.Option("--with/--without", help="With or without batch normalization.")] = True,
    normalization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="For gan: batch, none, conditional, ghost or group, in place of --with."),
    ] = None,
    preset: Preset = None,
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
    """Fit one network: model, history and learning curve in DIR. The same command goes on where it was stopped.

    Of a GAN: generator.keras, discriminator.keras, history.csv, summary.json, and in grids/ what it makes, by epoch.
    """
    from evenbatch import backend, files
    from evenbatch.cli import generator_lines, tables
    from evenbatch.cli.progress import TrainingProgress
    from evenbatch.devices import prepare
    from evenbatch.errors import require_count
    from evenbatch.files import dump_json
    from evenbatch.study import single, worker
    from evenbatch.study.design import design

    threads = threads if threads is not None else os.cpu_count() or 1
    with worker.environment(threads, backend.chosen()):
        prepare(require_count("devices", devices))
        plan = design(
            recipe,
            data=data,
            arms=_arm(normalize, normalization),
            preset=preset,
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
    elif plan.spec.adversarial is None:
        tables.print_trial(folder, record)
    else:
        generator_lines.print_generator(folder, files.read_json(folder / "summary.json"))
    if record["outcome"] != "finished":
        raise typer.Exit(1)


def _arm(normalize: bool, normalization: str | None) -> "dict[str, Arm]":
    """The one arm of the training, by the name that studies give it."""
    from evenbatch.study import Arm

    if normalization is not None:
        if not normalize:
            raise InvalidArgument("--without and --normalization exclude each other; give one of them")
        return {normalization: Arm(normalization)}
    return {"with" if normalize else "without": Arm(normalize)}
