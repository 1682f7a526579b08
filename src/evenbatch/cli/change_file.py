"""What the commands that make a model file of another one have in common."""

import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

Source = Annotated[Path, typer.Argument(metavar="IN.keras", help="The model.")]
Target = Annotated[Path, typer.Argument(metavar="OUT.keras", help="Where the new model goes.")]
Replace = Annotated[bool, typer.Option("--force", help="Replace OUT.keras where it exists.")]


def change_file(
    source: Path,
    target: Path,
    change: Callable[[Any], Any],
    doing: str,
    *,
    force: bool,
    unsafe: bool,
    modules: list[str] | None,
    as_json: bool,
) -> None:
    """Reads a model, changes it, writes the new one and says what was done.

    Args:
        source: The file to read.
        target: The file to write.
        change: Gives the new model and the report.
        doing: What is said while it does; empty where it says so itself.
        force: Whether a file may be replaced.
        unsafe: Whether Lambda layers are loaded.
        modules: What is imported first.
        as_json: Whether the report is printed as JSON.
    """
    from rich.console import Console

    from evenbatch import model_files
    from evenbatch.files import dump_json

    model_files.require_free(target, force=force)
    console = Console(stderr=True)
    with console.status(f"Reading {source}"):
        model_files.import_modules(modules or ())
        model = model_files.read(source, unsafe=unsafe)
    with console.status(doing) if doing else nullcontext(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is worth a warning stands in the report
        new, report = change(model)
    with console.status(f"Writing {target}, and reading it back"):
        model_files.write(new, target, unsafe=unsafe)
    if as_json:
        typer.echo(dump_json(report.as_json()), nl=False)
    else:
        typer.echo("\n".join([*report.sentences(), f"Model: {target}"]))
