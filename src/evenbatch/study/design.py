"""From what a user asks for to a checked `Plan`: every bad argument ends here, before anything is written."""

import functools
import json
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evenbatch import backend, datasets, recipes
from evenbatch.errors import InvalidArgument, InvalidData, require_count
from evenbatch.study import adversarial, fingerprint, network
from evenbatch.study.spec import (
    Arm,
    ArmSpec,
    DataSpec,
    Pair,
    Plan,
    Specification,
    describe_normalize,
)

Treatment = Arm | bool | str | Callable[[], Any]
"""An arm, or what it normalizes by."""
DEFAULT_ARMS: Mapping[str, Arm] = {"with": Arm(True), "without": Arm(False)}


def design(
    recipe: str | Callable[..., Any] = "sigmoid",
    *,
    data: str | Path | datasets.Dataset = "digits",
    arms: Mapping[str, Treatment] | None = None,
    pairs: Iterable[tuple[str, str]] | None = None,
    seeds: int | Iterable[int] = 6,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    options: Mapping[str, Any] | None = None,
    preset: str | None = None,
    threads: int = 1,
    devices: int = 1,
    inputs: datasets.Inputs = "image",
) -> Plan:
    """Checks what was asked for and fills in the recipe's defaults; `compare` documents the arguments."""
    name = backend.chosen()  # before anything loads Keras
    known = _recipe(recipe, inputs)
    settings = known if preset is None else known.preset(preset)
    given = {**(settings.options if isinstance(settings, recipes.Preset) else {}), **_options(options)}
    rate = _positive("learning_rate", settings.learning_rate if learning_rate is None else learning_rate)
    epochs = require_count("epochs", settings.epochs if epochs is None else epochs)
    batch_size = require_count("batch_size", settings.batch_size if batch_size is None else batch_size)
    is_adversarial = known.task == "adversarial"
    treatments = _arms((adversarial.ARMS if is_adversarial else DEFAULT_ARMS) if arms is None else arms)
    dataset = data if isinstance(data, datasets.Dataset) else datasets.load(data, known.inputs)
    judged = None
    if is_adversarial:
        judged, given = adversarial.settled(given)
        dataset = adversarial.prepared(dataset, judged)
        pairs = adversarial.pairs_of(treatments) if pairs is None else pairs
    _require_batches(dataset, batch_size, require_count("devices", devices), evenly=is_adversarial)
    build = _build(recipe, known, dataset, treatments, given)
    spec = Specification(
        recipe=recipe if isinstance(recipe, str) else fingerprint.describe(recipe),
        options=given,
        arms=tuple(
            ArmSpec(
                name=name,
                normalize=describe_normalize(arm.normalize),
                initial_scale=_positive("initial_scale", arm.initial_scale),
                learning_rate=rate if arm.learning_rate is None else _positive("learning_rate", arm.learning_rate),
                options=_options(arm.options),
            )
            for name, arm in treatments.items()
        ),
        pairs=_pairs(pairs, list(treatments)),
        seeds=_seeds(seeds),
        data=_data(dataset),
        epochs=epochs,
        batch_size=batch_size,
        optimizer=known.optimizer,
        threads=require_count("threads", threads),
        devices=devices,
        versions=backend.versions(),
        backend=name,
        adversarial=judged,
    )
    return Plan(spec, dataset, build, {name: arm.normalize for name, arm in treatments.items()})


def _require_batches(dataset: datasets.Dataset, batch_size: int, devices: int, *, evenly: bool) -> None:
    """Refuses batches that the data, or the devices, are not enough for."""
    if len(dataset.train) < batch_size:
        raise InvalidData(
            f"batch_size must be at most the number of training examples, received {batch_size} for "
            f"{len(dataset.train)} of {dataset.name!r}; choose a smaller batch size"
        )
    if devices > batch_size:
        raise InvalidArgument(
            f"devices must be at most batch_size, so that each has a part of every batch, received {devices} for "
            f"batches of {batch_size}; choose fewer devices or a larger batch size"
        )
    if evenly and batch_size % devices:
        raise InvalidArgument(
            f"devices must divide batch_size for a GAN, received {devices} for batches of {batch_size}; choose a batch "
            f"size such as {-(-batch_size // devices) * devices}"
        )


def _options(given: object) -> dict[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgument(f"options must be a mapping of names to values, received {given!r}")
    options = dict(given or {})
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"options must be values that JSON has, received {options!r} ({error})") from error
    return options


def _recipe(recipe: str | Callable[..., Any], inputs: datasets.Inputs) -> recipes.Recipe:
    if isinstance(recipe, str):
        return recipes.get(recipe)
    if callable(recipe):
        return recipes.Recipe("a function", "of the user's", inputs, "adam", 1e-3, 32, 10)
    raise InvalidArgument(
        "recipe must be a name or a function of (input_shape, classes, normalize) that returns a Keras model, "
        f"received {recipe!r}"
    )


def _build(
    recipe: str | Callable[..., Any],
    known: recipes.Recipe,
    dataset: datasets.Dataset,
    treatments: Mapping[str, Arm],
    given: dict[str, Any],
) -> Callable[..., Any]:
    """What builds the network, tried here where options could make it fail: later would be after files are written."""
    build: Callable[..., Any] = known
    if not isinstance(recipe, str):
        build = recipe
    elif known.task == "classification":
        known.check_shape(dataset.input_shape)
    for name, arm in treatments.items():
        options = {**given, **_options(arm.options)}
        if known.task == "adversarial":
            adversarial.check(known, name, arm.normalize, dataset, options)
            continue
        _refuse_names(arm.normalize)
        if isinstance(recipe, str) and options:
            _try(known, dataset, options)
        if not isinstance(recipe, str) or callable(arm.normalize):
            network.check(functools.partial(build, **options), name, arm.normalize, dataset)
    return build


def _refuse_names(normalize: object) -> None:
    """Only the recipe "gan" has normalizations by name."""
    if isinstance(normalize, str):
        raise InvalidArgument(
            f"normalize must be True, False or a function that returns a new layer, received {normalize!r}"
        )


def _try(known: recipes.Recipe, dataset: datasets.Dataset, options: dict[str, Any]) -> None:
    known.check_options(options)
    try:
        known.build(dataset.input_shape, dataset.classes, True, **options)
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"the recipe {known.name!r} cannot be built with {options}: {error}") from error


def _arms(given: Mapping[str, Treatment]) -> dict[str, Arm]:
    if not given:
        raise InvalidArgument("arms must name at least one arm, received none")
    arms = {}
    for name, arm in given.items():
        if not isinstance(name, str) or not _is_name(name):
            raise InvalidArgument(
                "the name of an arm must be 1 to 100 bytes of printable text without slashes and without a dot in "
                f"front, received {name!r}"
            )
        arms[name] = arm if isinstance(arm, Arm) else Arm(arm)
    return arms


def _is_name(name: str) -> bool:
    """Whether it can stand in the name of a folder and in a picture."""
    return name.isprintable() and not {"/", "\\"} & set(name) and name[:1] != "." and 1 <= len(name.encode()) <= 100


def _pairs(given: Iterable[tuple[str, str]] | None, names: list[str]) -> tuple[Pair, ...]:
    """The pairs asked for; by default every arm against the last one."""
    if given is None:
        return tuple(Pair(arm=name, baseline=names[-1]) for name in names[:-1])
    pairs = []
    for arm, baseline in given:
        for name in (arm, baseline):
            if name not in names:
                raise InvalidArgument(f"pairs must name two of the arms {', '.join(names)}, received {name!r}")
        pairs.append(Pair(arm=arm, baseline=baseline))
    return tuple(pairs)


def _seeds(given: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(given, int) and not isinstance(given, bool):
        if given < 1:
            raise InvalidArgument(f"seeds must be at least 1, received {given}; 6 or more make a difference testable")
        return tuple(range(given))
    try:
        seeds = tuple(operator.index(seed) for seed in given) if isinstance(given, Iterable) else ()
    except TypeError:
        seeds = ()
    if not seeds or any(not 0 <= seed < 2**31 for seed in seeds):
        raise InvalidArgument(f"seeds must be a number of seeds or distinct integers in [0, 2^31), received {given!r}")
    if len(set(seeds)) < len(seeds):
        raise InvalidArgument(f"seeds must be distinct, received {given!r}")
    return seeds


def _data(dataset: datasets.Dataset) -> DataSpec:
    return DataSpec(
        name=dataset.name,
        sha256=dataset.sha256,
        train=len(dataset.train),
        val=len(dataset.val),
        test=len(dataset.test) if dataset.test else 0,
        input_shape=dataset.input_shape,
        classes=dataset.classes,
        majority=float(np.bincount(dataset.val.y).max() / len(dataset.val)),
    )


def _positive(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value > 0 and math.isfinite(value)):
        raise InvalidArgument(f"{name} must be a positive, finite number, received {value!r}")
    return float(value)
