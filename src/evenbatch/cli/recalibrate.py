"""`evenbatch recalibrate`."""

import warnings
from typing import Annotated, Any

import typer

from evenbatch.cli.change_file import Replace, Source, Target
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
    batch_size: Annotated[int, typer.Option(metavar="N", help="Examples in a batch.")] = 256,
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
    from rich.console import Console

    from evenbatch import model_files
    from evenbatch.cli.progress import RecalibrationProgress
    from evenbatch.files import dump_json
    from evenbatch.surgery.recalibration.model import recalibrated
    from evenbatch.surgery.recalibration.options import Options

    model_files.require_free(target, force=force)
    options = Options(batch_size, max_batches, one_pass, dropout, frozen, tolerance)
    with Console(stderr=True).status(f"Reading {source}"):
        model_files.import_modules(modules or ())
        model = model_files.read(source, unsafe=unsafe)
        examples = _examples(data, model, raw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is worth a warning stands in the report
        new, report = recalibrated(model, examples, options, RecalibrationProgress())
    with Console(stderr=True).status(f"Writing {target}, and reading it back"):
        model_files.write(new, target, unsafe=unsafe)
    if as_json:
        typer.echo(dump_json(report.as_json()), nl=False)
    else:
        typer.echo("\n".join([*report.sentences(), f"Model: {target}"]))


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
