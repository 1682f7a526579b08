"""`evenbatch fold`."""

from typing import Any

from evenbatch.cli.change_file import Replace, Source, Target, change_file
from evenbatch.cli.options import Json, Modules, Unsafe


def fold(
    source: Source,
    target: Target,
    force: Replace = False,
    unsafe: Unsafe = False,
    modules: Modules = None,
    as_json: Json = False,
) -> None:
    """Put every batch normalization of a model that can be into the layers around it: the same outputs, in less time.

    The new model is for inference; train the given one.
    """

    def change(model: Any) -> Any:
        from evenbatch import surgery

        return surgery.fold(model, return_report=True)

    doing = "Folding, and comparing every place"
    change_file(source, target, change, doing, force=force, unsafe=unsafe, modules=modules, as_json=as_json)
