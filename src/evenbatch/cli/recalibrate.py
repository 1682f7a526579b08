"""`evenbatch recalibrate`."""

from typing import Annotated, Any

import typer

from evenbatch.cli.change_file import Replace, Source, Target, change_file
from evenbatch.cli.options import Json, Modules, Unsafe

Data = Annotated[
    str,
    typer.Option(
        metavar="NAME|FILE",
        help="What the model was trained on: the training part of digits, mnist, cifar10, or of an .npz with x_train, "
        "y_train. "
        "With --raw an .npz with x_train or x, or with an array for each input by its name, or an .npy.",
    ),
]


def recalibrate(
    source: Source,
    target: Target,
    data: Data,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="Take the examples as they stand. Default: as recipes are fed, 8-bit pixels divided by 255."
        ),
    ] = False,
    batch_size: Annotated[
        int, typer.Option(metavar="N", help="Examples in a batch; with --one-pass the result depends on it.")
    ] = 256,
    max_batches: Annotated[int | None, typer.Option(metavar="N", help="Batches read at most. Default: all.")] = None,
    one_pass: Annotated[
        bool, typer.Option("--one-pass", help="All layers at once, each batch by its own moments, as in training.")
    ] = False,
    dropout: Annotated[bool, typer.Option("--dropout", help="Run dropout and the like as in training.")] = False,
    frozen: Annotated[bool, typer.Option("--frozen", help="Layers with trainable=False, too.")] = False,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="X", help="Stop reading when standard errors are below X deviations, such as 0.01."),
    ] = None,
    force: Replace = False,
    unsafe: Unsafe = False,
    modules: Modules = None,
    as_json: Json = False,
) -> None:
    """Give every batch normalization of a model the statistics of the data, instead of moving averages."""
    from evenbatch.surgery.recalibration.options import Options

    options = Options(batch_size, max_batches, one_pass, dropout, frozen, tolerance)

    def change(model: Any) -> Any:
        from evenbatch.cli.progress import RecalibrationProgress
        from evenbatch.surgery.recalibration.model import recalibrated

        return recalibrated(model, _examples(data, model, raw), options, RecalibrationProgress())

    change_file(source, target, change, "", force=force, unsafe=unsafe, modules=modules, as_json=as_json)


def _examples(data: str, model: Any, raw: bool) -> Any:
    """The examples that the model is recalibrated on."""
    from evenbatch import datasets
    from evenbatch.errors import InvalidArgument

    if raw:
        return datasets.read_examples(data, [tensor.name for tensor in getattr(model, "inputs", None) or ()])
    shapes = getattr(model, "input_shape", None)
    if not isinstance(shapes, tuple):
        raise InvalidArgument(
            "--raw is needed for a model of several inputs, or of none that is known: pass it with an .npz that holds "
            "each input under its name"
        )
    return datasets.load(data, "vector" if len(shapes) == 2 else "image").train.x
