"""The commands. `--help` loads no backend: a command imports what it needs when it runs."""

from typing import Annotated

import typer

from evenbatch import __version__
from evenbatch.cli.compare import compare
from evenbatch.cli.train import train
from evenbatch.recipes import RECIPES

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Batch normalization for Keras 3: train with and without it, and see the difference.",
)

_RECIPES = "Recipes:\n\n" + "\n\n".join(f"{recipe.name}: {recipe.summary}." for recipe in RECIPES.values())

app.command(epilog=_RECIPES)(train)
app.command(epilog=_RECIPES)(compare)


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
