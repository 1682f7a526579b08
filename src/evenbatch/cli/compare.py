"""`evenbatch compare`."""

from collections.abc import Sequence
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
from evenbatch.errors import InvalidArgument, unknown

if TYPE_CHECKING:
    from evenbatch.study import Arm


def compare(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The network to compare.")] = "sigmoid",
    data: Data = "digits",
    seeds: Annotated[int, typer.Option(metavar="N", help="Paired seeds; 6 or more make a difference testable.")] = 6,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    initial_scale: Annotated[
        list[float] | None,
        typer.Option(metavar="X", help="Factor on the spread of the initial weights; repeat it for an arm each."),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="For gan: an arm to train, such as batch, none or ghost; repeat it. Default: "
            "batch, none and three ways to go wrong.",
        ),
    ] = None,
    preset: Preset = None,
    option: RecipeOptions = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of each trial; part of the specification.")] = 1,
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Trials at a time. Default: as many as cores.")] = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a network with and without batch normalization, in paired seeds, and report the difference."""
    from evenbatch.cli import tables
    from evenbatch.cli.progress import StudyProgress
    from evenbatch.files import dump_json
    from evenbatch.study import study as lab

    arms, pairs = _adversarial_arms(arm, initial_scale) if recipe == "gan" else _arms(initial_scale or [], arm)
    study = lab.compare(
        recipe,
        data=data,
        arms=arms,
        pairs=pairs,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        options=key_values(option),
        preset=preset,
        threads=threads,
        jobs=jobs,
        out=out,
        force=force,
        watcher=StudyProgress(),
    )
    summary = study.summary()
    if as_json:
        typer.echo(dump_json(summary), nl=False)
    else:
        tables.print_summary(study.folder, summary)
        typer.echo(f"Report: {study.folder / 'report.html'}")
    if any(arm["failed"] for arm in summary["arms"].values()):
        raise typer.Exit(1)


def _adversarial_arms(
    names: Sequence[str] | None, initial_scales: Sequence[float] | None
) -> "tuple[dict[str, Arm], None]":
    """Arms of a GAN by name: those of the default study, and every normalization."""
    from evenbatch.recipes.gan import NORMALIZATIONS
    from evenbatch.study import Arm
    from evenbatch.study.adversarial import ARMS

    if initial_scales:
        raise InvalidArgument("--initial-scale is not for the recipe 'gan'; leave it out")
    known = {**{name: Arm(name) for name in NORMALIZATIONS}, **ARMS}
    chosen = list(names or ARMS)
    for name in chosen:
        if name not in known:
            raise unknown("--arm", name, known)
    if len(set(chosen)) < len(chosen):
        raise InvalidArgument(f"--arm must be given once for each arm, received {chosen}")
    return {name: known[name] for name in chosen}, None


def _arms(
    initial_scales: Sequence[float], names: Sequence[str] | None
) -> "tuple[dict[str, Arm], list[tuple[str, str]] | None]":
    """With and without, for each spread of the initial weights; pairs stay within a spread."""
    from evenbatch.study import Arm
    from evenbatch.study.design import DEFAULT_ARMS

    if names:
        raise InvalidArgument("--arm is for the recipe 'gan'; others are compared with and without; leave it out")
    if not initial_scales:
        return dict(DEFAULT_ARMS), None
    if len({f"{scale:g}" for scale in initial_scales}) < len(initial_scales):
        raise InvalidArgument(
            f"--initial-scale must be given once for each value, to six digits, received {list(initial_scales)}"
        )
    arms, pairs = {}, []
    for scale in initial_scales:
        names = [f"{name}, weights ×{scale:g}" for name in DEFAULT_ARMS]
        pairs.append((names[0], names[1]))
        for name, arm in zip(names, DEFAULT_ARMS.values(), strict=True):
            arms[name] = Arm(arm.normalize, initial_scale=scale)
    return arms, pairs
