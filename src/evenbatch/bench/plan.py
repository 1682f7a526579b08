"""What a user asked to be measured, as a checked plan. Every bad argument ends here, before a backend loads."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from evenbatch.errors import InvalidArgument, require_count, unknown
from evenbatch.recipes import CLASSIFIERS

MODES = {"tensorflow": ("graph", "eager", "compiled"), "jax": ("compiled",), "torch": ("eager", "compiled")}
"""How each backend can run a layer; the first is what it does unless told otherwise."""

DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number of each type."""

PARTS = ("layers", "models", "memory")
MODELS = (*CLASSIFIERS, "mobilenet_v2")

_SHAPES = ("64x56x56x64", "128x28x28x32", "256x1024", "32x64")
_QUICK_SHAPES = ("8x14x14x16", "32x64")
_MODELS = ("mlp", "cnn", "resnet20", "mobilenet_v2")

_BATCH_SIZE = 8
"""Of a model in a file: few, since the model may be large."""

_MOST_ELEMENTS = 2**30

Shape = tuple[int, ...]


@dataclass(frozen=True)
class MemoryCase:
    """A stack of convolution, normalization and activation that is trained for one step."""

    batch: int
    size: int
    channels: int
    filters: int
    depth: int
    processes: int


@dataclass(frozen=True)
class FileCase:
    """A user's own model, in a file.

    Attributes:
        path: The `.keras` file.
        batch_size: Examples in a batch.
        unsafe: Whether to load code that comes with the file.
        modules: Modules to import first, which register its classes.
    """

    path: str
    batch_size: int
    unsafe: bool = False
    modules: tuple[str, ...] = ()


_MEMORY = MemoryCase(batch=32, size=64, channels=16, filters=32, depth=6, processes=3)
_QUICK_MEMORY = MemoryCase(batch=8, size=32, channels=16, filters=16, depth=3, processes=1)


@dataclass(frozen=True)
class Plan:
    """What is measured, and how."""

    backend: str
    dtype: str
    modes: tuple[str, ...]
    rounds: int
    shapes: tuple[Shape, ...]
    models: tuple[str, ...]
    memory: MemoryCase | None
    files: tuple[FileCase, ...] = ()
    times_files: bool = False
    processes_a_file: int = 0


def plan(
    backend: str,
    *,
    shapes: Sequence[str] = (),
    dtype: str = "float32",
    modes: Sequence[str] = (),
    models: Sequence[str] = (),
    only: Sequence[str] = (),
    rounds: int | None = None,
    quick: bool = False,
    batch_size: int | None = None,
    unsafe: bool = False,
    modules: Sequence[str] = (),
) -> Plan:
    """The plan for what was asked; what is left empty gets its default.

    Args:
        backend: Name of the Keras backend that runs.
        shapes: Shapes of the layer's inputs, as in "64x56x56x64"; the last number is the channels.
        dtype: Type of the layer's inputs; models of 16 bits are of mixed precision.
        modes: Ways to run, of those the backend has.
        models: Names of recipes, "mobilenet_v2", or paths of `.keras` files. Where there are files and `only` is empty,
            layers are not measured, and memory is that of the files.
        only: Parts to measure, of `PARTS`.
        rounds: Times that every arm is measured.
        quick: Small shapes, the smallest model, few rounds, no memory: a first look.
        batch_size: Examples in a batch of a file's model.
        unsafe: Whether to load code that comes with a file.
        modules: Modules that register the classes of a file's model.

    Raises:
        InvalidArgument: an argument is outside what is allowed.
    """
    files = [name for name in _chosen("--model", models) if name.endswith(".keras")]
    names = [name for name in models if name not in files]
    parts = _parts(only, quick=quick, files=bool(files))
    _require_known("part for --only", parts, PARTS)
    _require_known(f"mode of {backend} for --mode", modes, MODES[backend])
    _require_known("dtype for --dtype", [dtype], DTYPES)
    _require_known("model for --model", names, MODELS)
    _require_used(parts, shapes=shapes, models=models, modes=modes, files=bool(files))
    _require_for_files(files, batch_size=batch_size, unsafe=unsafe, modules=modules, dtype=dtype)
    parsed = tuple(map(parse_shape, shapes or (_QUICK_SHAPES if quick else _SHAPES)))
    _chosen("--shape", ["x".join(map(str, shape)) for shape in parsed])
    count = require_count("--batch-size", _BATCH_SIZE if batch_size is None else batch_size)
    memory = _QUICK_MEMORY if quick else _MEMORY
    return Plan(
        backend=backend,
        dtype=dtype,
        modes=_chosen("--mode", modes) or MODES[backend][:1],
        rounds=require_count("--rounds", rounds if rounds is not None else 3 if quick else 9),
        shapes=parsed if "layers" in parts else (),
        models=_models(names, files, quick=quick) if "models" in parts else (),
        memory=memory if "memory" in parts and not files else None,
        files=tuple(FileCase(path, count, unsafe, tuple(modules)) for path in files),
        times_files="models" in parts,
        processes_a_file=memory.processes if "memory" in parts else 0,
    )


def _parts(only: Sequence[str], *, quick: bool, files: bool) -> tuple[str, ...]:
    usual = tuple(part for part in PARTS if not (quick and part == "memory") and not (files and part == "layers"))
    return _chosen("--only", only) or usual


def _models(names: Sequence[str], files: Sequence[str], *, quick: bool) -> tuple[str, ...]:
    return tuple(names) or (() if files else _MODELS[:1] if quick else _MODELS)


def _require_for_files(
    files: Sequence[str], *, batch_size: int | None, unsafe: bool, modules: Sequence[str], dtype: str
) -> None:
    """Refuses files that are not there, what is given for files where there is none, and what is not for files."""
    for path in files:
        if not os.path.isfile(path):  # noqa: PTH113 - false, not an error, for a name that no file can have
            raise InvalidArgument(f"--model must name a recipe, mobilenet_v2 or a .keras file, and {path} is no file")
    for option, given in (("--batch-size", batch_size is not None), ("--unsafe", unsafe), ("--import", bool(modules))):
        if given and not files:
            raise InvalidArgument(f"{option} is for models in files; add --model FILE.keras, or leave it out")
    if files and dtype != "float32":
        raise InvalidArgument(
            f"--dtype must not be given with a model in a file, whose types are its own, received {dtype}; leave it out"
        )


def parse_shape(text: str) -> Shape:
    """`"64x56x56x64"` as `(64, 56, 56, 64)`.

    Raises:
        InvalidArgument: it is no shape, or it has one value a channel, which has no variance.
    """
    shape = tuple(int(number) for number in text.split("x")) if re.fullmatch(r"[0-9]+(x[0-9]+)+", text) else ()
    if not shape or 0 in shape:
        raise InvalidArgument(
            f"--shape must be two or more positive integers joined by x, such as 64x56x56x64, received {text!r}"
        )
    if math.prod(shape[:-1]) == 1:
        raise InvalidArgument(
            f"--shape must hold two or more values for each channel (its last number), received {text!r}"
        )
    if math.prod(shape) > _MOST_ELEMENTS:
        raise InvalidArgument(
            f"--shape must hold at most {_MOST_ELEMENTS:,} numbers, 4 GiB in float32, received {text!r}"
        )
    return shape


def _require_used(
    parts: Sequence[str], *, shapes: Sequence[str], models: Sequence[str], modes: Sequence[str], files: bool
) -> None:
    """Refuses an option for a part that is not measured."""
    for option, given, used_by in (
        ("--shape", shapes, ("layers",)),
        ("--model", models, ("models", "memory") if files else ("models",)),
        ("--mode", modes, ("layers", "models")),
    ):
        if given and not set(used_by) & set(parts):
            raise InvalidArgument(
                f"{option} must not be given where only {' and '.join(parts)} is measured, received "
                f"{', '.join(given)}; add --only {used_by[0]}"
            )


def _require_known(what: str, received: Sequence[str], allowed: Sequence[str] | dict[str, int]) -> None:
    for name in received:
        if name not in allowed:
            raise unknown(what, name, allowed)


def _chosen(option: str, values: Sequence[str]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise InvalidArgument(f"{option} must be given once for each value, received {', '.join(values)}")
    return tuple(values)
