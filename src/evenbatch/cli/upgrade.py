"""`evenbatch upgrade` and `evenbatch to-keras`."""

from typing import Annotated, Any

import typer

from evenbatch.cli.change_file import Replace, Source, Target, change_file
from evenbatch.cli.options import Json, Modules, Unsafe

_DOING = "Exchanging and comparing"


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

    change_file(source, target, change, _DOING, force=force, unsafe=unsafe, modules=modules, as_json=as_json)


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

    change_file(source, target, change, _DOING, force=force, unsafe=unsafe, modules=modules, as_json=as_json)
