"""The commands. `--help` loads no backend: a command imports what it needs when it runs."""

import functools
from collections.abc import Callable
from typing import Annotated, Any

import typer

from evenbatch import __version__
from evenbatch.cli.bench import bench
from evenbatch.cli.compare import compare
from evenbatch.cli.fold import fold
from evenbatch.cli.recalibrate import recalibrate
from evenbatch.cli.sample import sample
from evenbatch.cli.train import train
from evenbatch.cli.upgrade import to_keras, upgrade
from evenbatch.recipes import RECIPES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Batch normalization for Keras 3: a faster layer for your models, and what it does for them.",
)

_RECIPES = "Recipes:\n\n" + "\n\n".join(f"{recipe.name}: {recipe.summary}." for recipe in RECIPES.values())


def _stoppable(command: Callable[..., None], note: str) -> Callable[..., None]:
    """The command, ending with one line and exit code 130 where the user stops it."""

    @functools.wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except KeyboardInterrupt:
            typer.echo(f"Stopped; {note}.", err=True)
            raise typer.Exit(130) from None

    return run


for _command in (train, compare):
    app.command(epilog=_RECIPES)(_stoppable(_command, "the same command goes on from here"))
app.command()(_stoppable(upgrade, "nothing was written"))
app.command()(_stoppable(to_keras, "nothing was written"))
app.command()(_stoppable(fold, "nothing was written"))
app.command()(_stoppable(recalibrate, "nothing was written"))
app.command()(_stoppable(sample, "nothing was written"))
app.command()(_stoppable(bench, "what was measured is not kept"))


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"evenbatch {__version__}")
        raise typer.Exit


@app.callback()
def _shared(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
