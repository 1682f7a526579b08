"""`evenbatch bench`."""

from pathlib import Path
from typing import Annotated

import typer

from evenbatch.cli.options import Modules, Unsafe


def bench(
    shape: Annotated[
        list[str] | None, typer.Option(metavar="NxHxWxC", help="Shape of a layer's inputs; may be repeated.")
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="NAME", help="float32, bfloat16 or float16.")] = "float32",
    mode: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="graph, eager or compiled, where the backend has it; may be repeated."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A recipe, mobilenet_v2, or your own FILE.keras; may be repeated."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PART", help="layers, models or memory; may be repeated.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(metavar="N", help="Times that every arm is measured. Default: 9, with --quick 3.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", help="Examples in a batch of FILE.keras. Default: 8.")
    ] = None,
    unsafe: Unsafe = False,
    modules: Modules = None,
    quick: Annotated[bool, typer.Option("--quick", help="A first look: small shapes, mlp, no memory.")] = False,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write every number as JSON; - is standard output, and no tables."),
    ] = None,
) -> None:
    """Time the layer against Keras' and the framework's own, on this machine, and against the byte floor."""
    from evenbatch import backend
    from evenbatch.bench.plan import plan
    from evenbatch.bench.result_file import require_writable

    checked = plan(
        backend.chosen(),
        shapes=shape or (),
        dtype=dtype,
        modes=mode or (),
        models=model or (),
        only=only or (),
        rounds=rounds,
        quick=quick,
        batch_size=batch_size,
        unsafe=unsafe,
        modules=modules or (),
    )
    to_stdout = json == Path("-")
    if json and not to_stdout:
        require_writable(json)

    from evenbatch.bench.run import run
    from evenbatch.cli import bench_tables
    from evenbatch.cli.progress import BenchProgress
    from evenbatch.files import dump_json, write_among_users_files

    result = run(checked, BenchProgress())
    if to_stdout:
        typer.echo(dump_json(result), nl=False)
        return
    bench_tables.print_result(result)
    if json:
        write_among_users_files(json, lambda partial: partial.write_text(dump_json(result), encoding="utf-8"))
