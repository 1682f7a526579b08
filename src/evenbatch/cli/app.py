"""The commands and their options. `--help` loads no backend: a command imports what it needs."""

from pathlib import Path
from typing import Annotated

import typer

from evenbatch import __version__
from evenbatch.recipes import RECIPES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Batch normalization for Keras 3: train with and without it, and see the difference.",
)

Data = Annotated[
    str, typer.Option(metavar="NAME|FILE", help="digits, mnist, cifar10, or an .npz with x_train, y_train.")
]
Epochs = Annotated[int | None, typer.Option(metavar="N", help="Epochs of a trial. Default: the recipe's.")]
BatchSize = Annotated[int | None, typer.Option(metavar="N", help="Examples in a batch. Default: the recipe's.")]
LearningRate = Annotated[float | None, typer.Option(metavar="X", help="Learning rate. Default: the recipe's.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="An option of the recipe, such as l2=0.0001; may be repeated."),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="Directory of the results. Default: under runs/.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the results that the directory holds.")]
Json = Annotated[bool, typer.Option("--json", help="Print the results as JSON.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"evenbatch {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


_RECIPE_LIST = "\n\n".join(f"{recipe.name}: {recipe.summary}." for recipe in RECIPES.values())


@app.command(epilog=f"Recipes:\n\n{_RECIPE_LIST}")
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="The network to train.")],
    data: Data = "digits",
    normalize: Annotated[bool, typer.Option("--with/--without", help="With or without batch normalization.")] = True,
    seed: Annotated[int, typer.Option(metavar="N", help="Fixes initial weights and batch order.")] = 0,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    option: Options = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write TensorBoard logs to DIR/tensorboard.")
    ] = False,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fit one network: model, history and learning curve in DIR. The same command goes on where it was stopped."""
    from evenbatch.cli import train as command

    command.run(
        recipe,
        data=data,
        normalize=normalize,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        options=option or [],
        tensorboard=tensorboard,
        out=out,
        force=force,
        as_json=as_json,
    )


@app.command(epilog=f"Recipes:\n\n{_RECIPE_LIST}")
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
    option: Options = None,
    threads: Annotated[int, typer.Option(metavar="N", help="Threads of each trial; part of the specification.")] = 1,
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Trials at a time. Default: as many as cores.")] = None,
    out: Out = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a network with and without batch normalization, in paired seeds, and report the difference."""
    from evenbatch.cli import compare as command

    command.run(
        recipe,
        data=data,
        seeds=seeds,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        initial_scales=initial_scale or [],
        options=option or [],
        threads=threads,
        jobs=jobs,
        out=out,
        force=force,
        as_json=as_json,
    )
