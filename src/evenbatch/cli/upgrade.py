"""`evenbatch upgrade` and `evenbatch to-keras`."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from evenbatch.cli.options import Json, Modules, Unsafe

Source = Annotated[Path, typer.Argument(metavar="IN.keras", help="The model.")]
Target = Annotated[Path, typer.Argument(metavar="OUT.keras", help="Where the new model goes.")]
Replace = Annotated[bool, typer.Option("--force", help="Replace OUT.keras where it exists.")]


def upgrade(
    source: Source,
    target: Target,
    synchronized: Annotated[
        bool, typer.Option("--synchronized/--local", help="Whether replicas share the statistics of a global batch.")
    ] = True,
    force: Replace = False,
    unsafe: Unsafe = False,
    modules: Modules = None,
    as_json: Json = False,
) -> None:
    """Exchange every batch normalization of Keras' in a model for this package's: same weights, same function."""

    def change(model: Any) -> Any:
        from evenbatch import surgery

        return surgery.upgrade(model, synchronized, return_report=True)

    _change(source, target, change, force=force, unsafe=unsafe, modules=modules, as_json=as_json)


def to_keras(
    source: Source,
    target: Target,
    synchronized: Annotated[
        bool | None,
        typer.Option(
            "--synchronized/--local", help="What Keras' layer is given for it. Default: as it is, where Keras takes it."
        ),
    ] = None,
    force: Replace = False,
    unsafe: Unsafe = False,
    modules: Modules = None,
    as_json: Json = False,
) -> None:
    """Exchange every batch normalization of this package in a model for Keras', so that Keras alone reads it."""

    def change(model: Any) -> Any:
        from evenbatch import surgery

        return surgery.to_keras(model, synchronized, return_report=True)

    _change(source, target, change, force=force, unsafe=unsafe, modules=modules, as_json=as_json)


def _change(
    source: Path,
    target: Path,
    change: Callable[[Any], Any],
    *,
    force: bool,
    unsafe: bool,
    modules: list[str] | None,
    as_json: bool,
) -> None:
    """Reads a model, changes it, writes the new one and says what was done."""
    from rich.console import Console

    from evenbatch import model_files
    from evenbatch.files import dump_json

    model_files.require_free(target, force=force)
    with Console(stderr=True).status(f"Reading {source}") as status:
        model_files.import_modules(modules or ())
        model = model_files.read(source, unsafe=unsafe)
        status.update("Exchanging and comparing")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is worth a warning stands in the report
            new, report = change(model)
        status.update(f"Writing {target}, and reading it back")
        model_files.write(new, target, unsafe=unsafe)
    if as_json:
        typer.echo(dump_json(report.as_json()), nl=False)
    else:
        typer.echo("\n".join([*report.sentences(), f"Model: {target}"]))
