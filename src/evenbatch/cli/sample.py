"""`evenbatch sample`."""

from pathlib import Path
from typing import Annotated

import typer

from evenbatch.cli.options import Modules, Unsafe


def sample(
    source: Annotated[Path, typer.Argument(metavar="GENERATOR.keras", help="The generator.")],
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="Where the images go, side by side.")],
    count: Annotated[int, typer.Option(metavar="N", help="How many images.")] = 64,
    statistics: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What normalization goes by: moving, as predict does; batch, each batch by its own; recalibrated, by "
            "those of a large population of noise.",
        ),
    ] = "moving",
    seed: Annotated[int, typer.Option(metavar="N", help="Fixes the noise.")] = 0,
    label: Annotated[
        int | None, typer.Option(metavar="N", help="The class, for a conditional generator. Default: all in turn.")
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", help="Images in a batch.")] = 256,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.png where it exists.")] = False,
    unsafe: Unsafe = False,
    modules: Modules = None,
) -> None:
    """Draw what a generator makes of noise. The same seed is the same noise, whatever the statistics."""
    from rich.console import Console

    from evenbatch import model_files
    from evenbatch.errors import InvalidArgument, require_count, unknown
    from evenbatch.gan import grid, sampling

    require_count("count", count)
    if seed < 0:
        raise InvalidArgument(f"seed must be an integer of at least 0, received {seed}")
    if statistics not in sampling.STATISTICS:
        raise unknown("statistics", statistics, sampling.STATISTICS)
    model_files.require_free(out, force=force, suffix=".png")
    with Console(stderr=True).status(f"Drawing from {source}"):
        model_files.import_modules(modules or ())
        generator = model_files.read(source, unsafe=unsafe)
        noise, labels = sampling.drawn(generator, count, seed, label)
        images = sampling.images(generator, noise, labels, statistics=statistics, batch_size=batch_size)
        grid.write_png(out, images)
    typer.echo(f"{count} images by {statistics} statistics: {out}")
