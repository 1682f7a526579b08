"""Data sets, from a name or a file to checked arrays: `digits`, `mnist`, `cifar10`, or an `.npz` of the user's.

The layout of a file is that of `keras.datasets`: `x_train, y_train`, and where it has them `x_val, y_val` and
`x_test, y_test`. Where there is no validation part, a fifth of the training data (at most 10,000 examples) is split off
by one fixed permutation, the same in every study. The test part is never used to choose anything.
"""

import contextlib
import hashlib
import os
import sys
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from evenbatch.errors import InvalidArgument, InvalidData, unknown

NAMES = ("digits", "mnist", "cifar10")
Inputs = Literal["vector", "image"]
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Part:
    """Examples and their labels: `x` (n, ...) float32, `y` (n,) int32 in 0 … classes - 1."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """A data set that passed its checks."""

    name: str
    train: Part
    val: Part
    test: Part | None
    labels: tuple[str, ...]
    sha256: str

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(int(size) for size in self.train.x.shape[1:])

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.labels)


def load(source: str | Path, inputs: Inputs) -> Dataset:
    """Loads a data set in the form that a recipe is fed.

    Args:
        source: One of `NAMES`, or the path of an `.npz` file.
        inputs: "vector" for examples of shape (features,), "image" for (height, width, channels).

    Raises:
        InvalidArgument: neither a known name nor a file.
        InvalidData: the file or its arrays cannot be used; the sentence says why.
    """
    name, arrays = read(source)
    return prepare(name, arrays, inputs)


def read(source: str | Path) -> tuple[str, dict[str, Array]]:
    """The raw arrays of a data set, and its name."""
    if str(source) in NAMES:
        return str(source), _digits() if str(source) == "digits" else _downloaded(str(source))
    path = Path(source)
    if _exists(path):
        return "".join(c if c.isprintable() else "?" for c in path.stem), _from_file(path)
    if path.suffix == ".npz" or len(path.parts) > 1:
        raise InvalidData(f"--data: there is no file {str(source)!r}; name an .npz file or one of {', '.join(NAMES)}")
    raise InvalidArgument(f"{unknown('data set', str(source), NAMES)}; or name an .npz file")


def read_examples(source: str | Path, names: Collection[str] = ()) -> Any:
    """Examples as they stand in a file: the array of an `.npy`; of an `.npz` those of these names, `x_train` or `x`.

    Args:
        source: The path.
        names: What arrays of several inputs are called.

    Raises:
        InvalidData: the file cannot be read; the sentence says why.
    """
    path = Path(source)
    if not _exists(path) or path.is_dir():
        raise InvalidData(f"--data: there is no file {str(source)!r}; name an .npz or .npy file where --raw is given")
    if not os.access(path, os.R_OK):
        raise InvalidData(f"--data {path} may not be read by you; change its permissions")
    if not zipfile.is_zipfile(path):
        return _array_of_npy(path)
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        if len(names) > 1 and set(names) <= set(file.files):
            return {key: _member(path, file, key) for key in names}
        for key in ("x_train", "x"):
            if key in file.files:
                return _member(path, file, key)
        if not file.files:
            raise InvalidData(f"--data {path} holds no array; save the examples with numpy.savez(path, x=…)")
        return {key: _member(path, file, key) for key in file.files}


def _array_of_npy(path: Path) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # whatever numpy meets in a file that is none of its own, or was cut off
        raise InvalidData(
            f"--data {path} is no .npz or .npy file of numbers, or it was cut off ({_first_line(error)}); save the "
            "examples with numpy.save(path, x)"
        ) from error
    return np.asarray(array)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:  # a name that no file system takes
        raise InvalidData(f"--data: no file can have this name ({error.strerror}): {str(path)[:80]}") from error


def _digits() -> dict[str, Array]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Stored as 0 … 16; scaled here, since the general rule for integers is 0 … 255.
    return {"x_train": (bunch.images / 16).astype("float32"), "y_train": bunch.target}


def _downloaded(name: str) -> dict[str, Array]:
    import keras

    module = getattr(keras.datasets, name)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where its progress belongs: standard output is for results
            (x_train, y_train), (x_test, y_test) = module.load_data()
    except Exception as error:  # keras wraps whatever its download met in a plain Exception
        raise InvalidData(
            f"the data set {name!r} could not be downloaded ({_first_line(error)}); "
            "with no network, pass a file of it with --data FILE (an .npz with x_train, y_train, x_test, y_test)"
        ) from error
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _from_file(path: Path) -> dict[str, Array]:
    if path.is_file() and not os.access(path, os.R_OK):
        raise InvalidData(f"--data {path} may not be read by you; change its permissions")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise InvalidData(
            f"--data {path} is no .npz file; save the arrays with numpy.savez(path, x_train=…, y_train=…)"
        )
    arrays = {}
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        for key in (f"{kind}_{part}" for part in ("train", "val", "test") for kind in "xy"):
            if key in file.files:
                arrays[key] = _member(path, file, key)
    for part in ("train", "val", "test"):
        pair = {f"x_{part}", f"y_{part}"}
        missing = sorted(pair - set(arrays))
        if missing and (part == "train" or len(missing) == 1):
            raise InvalidData(
                f"--data {path} lacks {' and '.join(missing)}; it holds {', '.join(file.files) or 'nothing'}"
            )
    return arrays


def _member(path: Path, file: Mapping[str, Array], key: str) -> Array:
    try:
        array = file[key]
    except Exception as error:  # a damaged archive meets zlib, zipfile, numpy's header and the memory in turn
        if "Object arrays cannot be loaded" in str(error):
            raise InvalidData(
                f"--data {path}: {key} is an array of Python objects, which is never unpickled; "
                "save it as a plain numeric array"
            ) from error
        raise InvalidData(
            f"--data {path}: {key} cannot be read, the file is damaged ({_first_line(error)}); save it again"
        ) from error
    if not isinstance(array, np.ndarray):
        raise InvalidData(f"--data {path}: {key} is no array; save it with numpy.savez(path, {key}=…)")
    return array


def prepare(name: str, arrays: Mapping[str, Array], inputs: Inputs) -> Dataset:
    """Checks raw arrays and brings them into the form that a recipe is fed.

    Raises:
        InvalidData: the arrays cannot be used; the sentence says why.
    """
    _check_pairs(arrays)
    labels, codes = _encode({part: arrays[f"y_{part}"] for part in ("train", "val", "test") if f"y_{part}" in arrays})
    pixels = {part: arrays[f"x_{part}"] for part in codes}
    scale = _scale(pixels)
    parts = {
        part: Part(_shape(np.divide(x, np.float32(scale), dtype="float32", casting="unsafe"), inputs), codes[part])
        for part, x in pixels.items()
    }
    if "val" not in parts:
        parts["train"], parts["val"] = split(parts["train"])
    dataset = Dataset(name, parts["train"], parts["val"], parts.get("test"), labels, sha256="")
    return replace(dataset, sha256=_digest(dataset))


def _check_pairs(arrays: Mapping[str, Array]) -> None:
    shape = arrays["x_train"].shape[1:]
    for key, x in arrays.items():
        if not key.startswith("x_"):
            continue
        y = arrays["y" + key[1:]]
        if x.ndim < 2 or 0 in x.shape:
            raise InvalidData(f"{key} must be a non-empty array of shape (examples, ...), received shape {x.shape}")
        if x.shape[1:] != shape:
            raise InvalidData(f"{key} must hold examples of shape {shape} as x_train does, received {x.shape[1:]}")
        if x.dtype.kind not in "biuf":
            raise InvalidData(f"{key} must hold real numbers, received dtype {x.dtype}")
        if x.dtype.kind != arrays["x_train"].dtype.kind:
            raise InvalidData(
                f"{key} must have the kind of numbers of x_train ({arrays['x_train'].dtype}), received {x.dtype}"
            )
        _check_finite(key, x)
        if y.shape not in ((len(x),), (len(x), 1)):
            raise InvalidData(
                f"y{key[1:]} must hold one label for each of the {len(x):,} examples of {key}, of shape ({len(x)},) or "
                f"({len(x)}, 1), received shape {y.shape}; one-hot labels become such by argmax over the last axis"
            )


def _check_finite(key: str, x: Array) -> None:
    if x.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):
        bad = int(x.size - np.isfinite(x.astype("float32")).sum())
    if bad:
        raise InvalidData(
            f"{key} holds {bad:,} values that are NaN, infinite or beyond float32; replace or drop those examples"
        )


def _encode(raw: Mapping[str, Array]) -> tuple[tuple[str, ...], dict[str, Array]]:
    """Labels as 0 … classes - 1, in the order of the sorted values of the training labels."""
    for part, y in raw.items():
        if y.dtype.kind not in "biufSU":
            raise InvalidData(f"y_{part} must hold class labels (integers or text), received dtype {y.dtype}")
        if y.dtype.kind == "f" and not (np.isfinite(y).all() and (y == np.floor(y)).all()):
            raise InvalidData(
                f"y_{part} must hold class labels (integers or text), received numbers that are no integers"
            )
    values = np.unique(raw["train"])
    if len(values) < 2:
        raise InvalidData(f"y_train must hold at least two classes, received one alone: {values[0]!s}")
    codes = {}
    for part, y in raw.items():
        strange = np.setdiff1d(y, values)
        if len(strange):
            raise InvalidData(f"y_{part} holds labels that y_train does not have: {', '.join(map(str, strange[:5]))}")
        codes[part] = np.searchsorted(values, y.reshape(-1)).astype("int32")
    return tuple(str(value) for value in values), codes


def _scale(pixels: Mapping[str, Array]) -> float:
    """What examples are divided by: 255 where they look like 8-bit pixels, else 1."""
    train = pixels["train"]
    if train.dtype == np.uint8:
        return 255.0
    low, high = float(min(x.min() for x in pixels.values())), float(max(x.max() for x in pixels.values()))
    looks_like_pixels = low >= 0 and 1 < high <= 255 and train.ndim > 2 and bool((train == np.floor(train)).all())
    return 255.0 if looks_like_pixels else 1.0


def _shape(x: Array, inputs: Inputs) -> Array:
    if inputs == "vector":
        return x.reshape(len(x), -1)
    if x.ndim == 3:
        return x[..., np.newaxis]
    if x.ndim == 4:
        return x
    raise InvalidData(
        "this recipe needs images, examples of shape (height, width) or (height, width, channels), "
        f"received {x.shape[1:]}; choose a recipe of dense layers such as 'mlp'"
    )


def split(train: Part) -> tuple[Part, Part]:
    """Splits a fifth (at most 10,000 examples) off for validation, by one fixed permutation."""
    order = np.random.default_rng(20150211).permutation(len(train))
    held = min(max(len(train) // 5, 1), 10_000)
    keep, hold = np.sort(order[held:]), np.sort(order[:held])
    if len(keep) == 0:
        raise InvalidData(f"x_train must hold at least 2 examples to split validation off, received {len(train)}")
    return Part(train.x[keep], train.y[keep]), Part(train.x[hold], train.y[hold])


def mapped(dataset: Dataset, change: Callable[[Array], Array]) -> Dataset:
    """The data set with the examples of every part changed in the same way; `change` gives float32."""

    def part(given: Part | None) -> Part | None:
        return None if given is None else Part(change(given.x), given.y)

    train, val = Part(change(dataset.train.x), dataset.train.y), Part(change(dataset.val.x), dataset.val.y)
    changed = replace(dataset, train=train, val=val, test=part(dataset.test))
    return replace(changed, sha256=_digest(changed))


def resized(dataset: Dataset, side: int) -> Dataset:
    """The data set with images of `side`×`side` pixels, by bicubic interpolation, within the range that they had.

    Raises:
        InvalidData: the examples are no images.
    """
    from PIL import Image

    if dataset.train.x.ndim != 4:
        raise InvalidData(f"only images can be resized, received examples of shape {dataset.input_shape}")
    low, high = float(dataset.train.x.min()), float(dataset.train.x.max())

    def channel(pixels: Array) -> Array:
        return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))

    def enlarged(x: Array) -> Array:
        images = [np.stack([channel(image[..., c]) for c in range(x.shape[-1])], axis=-1) for image in x]
        return np.asarray(np.clip(np.stack(images), low, high), "float32")

    return mapped(dataset, enlarged)


def _digest(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for part in (dataset.train, dataset.val, dataset.test):
        if part is not None:
            for array in (part.x, part.y):
                digest.update(f"{array.shape}{array.dtype}".encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
