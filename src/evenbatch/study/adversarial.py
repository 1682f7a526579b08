"""What a study of GANs asks beyond others: its arms, its own options, and images in [-1, 1]."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from evenbatch import datasets, recipes
from evenbatch.errors import InvalidArgument, InvalidData, require_count, require_share, unknown
from evenbatch.study.spec import AdversarialSpec, Arm

ARMS: Mapping[str, Arm] = {
    "batch": Arm("batch"),
    "none": Arm("none"),
    "no training flag": Arm("batch", options={"step": "no training flag"}),
    "mixed batch": Arm("batch", options={"step": "mixed"}),
    "frozen discriminator": Arm("batch", options={"step": "frozen discriminator"}),
}
"""With the layer in both networks, without, and the ways to train with it that go wrong."""

DEFAULTS: Mapping[str, Any] = {
    "beta_1": 0.5,
    "ema": None,
    "statistics": None,
    "measure_every": 5,
    "samples": 2000,
    "resize": None,
}
"""Options of the recipe "gan" that its networks know nothing of."""


def pairs_of(arms: Iterable[str]) -> list[tuple[str, str]]:
    """Every arm against "batch", and that against "none"; against the last one, where there is no "batch"."""
    names = list(arms)
    if "batch" not in names:
        return [(name, names[-1]) for name in names[:-1]]
    others = [name for name in names if name not in ("batch", "none")]
    return [*([("batch", "none")] if "none" in names else []), *((name, "batch") for name in others)]


def settled(options: Mapping[str, Any]) -> tuple[AdversarialSpec, dict[str, Any]]:
    """The settings of training and measuring, and the options that are the networks'.

    Raises:
        InvalidArgument: one is outside what is allowed.
    """
    given = {**DEFAULTS, **{name: value for name, value in options.items() if name in DEFAULTS}}
    for name in ("measure_every", "samples"):
        require_count(name, given[name])
    require_share("beta_1", given["beta_1"])
    if given["ema"] is not None:
        require_share("ema", given["ema"])
    if given["resize"] not in (None, 28, 32):
        raise InvalidArgument(f"resize must be 28 or 32, received {given['resize']!r}")
    if given["statistics"] is None:
        # Moving statistics are not those of averaged weights.
        given["statistics"] = "moving" if given["ema"] is None else "recalibrated"
    try:
        spec = AdversarialSpec(**given)
    except ValidationError as error:
        raise InvalidArgument(
            f"statistics must be 'moving', 'batch' or 'recalibrated', received {given['statistics']!r}"
        ) from error
    return spec, {name: value for name, value in options.items() if name not in DEFAULTS}


def prepared(dataset: datasets.Dataset, settings: AdversarialSpec) -> datasets.Dataset:
    """The data set with images of a size that the networks make, in [-1, 1].

    Raises:
        InvalidData: pixels are outside what is allowed.
        InvalidArgument: the size is another, and no resizing was asked for.
    """
    from evenbatch.recipes.gan import check_shape

    if settings.resize is not None:
        dataset = datasets.resized(dataset, settings.resize)
    if dataset.train.x.ndim == 4:
        check_shape(dataset.input_shape)
    _require_channels(dataset)
    _require_samples(dataset, settings.samples)
    x = [part.x for part in (dataset.train, dataset.val, dataset.test) if part is not None]
    low, high = min(float(part.min()) for part in x), max(float(part.max()) for part in x)
    if low < -1 or high > 1:
        raise InvalidData(
            "images must have pixels of 0 … 255 (uint8), or numbers in [0, 1] or in [-1, 1], received numbers from "
            f"{low:g} to {high:g}; scale them"
        )
    return dataset if low < 0 else datasets.mapped(dataset, lambda pixels: 2 * pixels - 1)


def check(known: recipes.Recipe, arm: str, normalize: Any, dataset: datasets.Dataset, options: dict[str, Any]) -> None:
    """Builds the networks of an arm once, so that bad options end here.

    Raises:
        InvalidArgument: the networks cannot be built, or cannot be trained together.
    """
    from evenbatch.gan import GAN

    own = {name: value for name, value in options.items() if name != "step"}
    step = options.get("step", "separate")
    _require_known(known, arm, own)
    if not isinstance(step, str):
        raise InvalidArgument(f"step must be a name, received {step!r}")
    try:
        networks = known.build(dataset.input_shape, dataset.classes, normalize, **own)
        GAN(networks.generator, networks.discriminator, step=step)
    except InvalidArgument:
        raise
    except Exception as error:
        raise InvalidArgument(f"the networks of arm {arm!r} cannot be built: {error}") from error


def _require_known(known: recipes.Recipe, arm: str, options: Mapping[str, Any]) -> None:
    """Refuses options that neither the networks nor the training have."""
    own = known.option_names()
    for name in options:
        if name in DEFAULTS:
            raise InvalidArgument(f"{name} is for the study as a whole, received it in the options of arm {arm!r}")
        if name not in own:
            raise unknown(f"option of the recipe {known.name!r}", name, [*own, *DEFAULTS, "step"])


def _require_channels(dataset: datasets.Dataset) -> None:
    channels = dataset.input_shape[-1]
    if channels not in (1, 3):
        raise InvalidData(f"images must have 1 or 3 channels, received {channels}; keep one of them, or three")


def _require_samples(dataset: datasets.Dataset, samples: int) -> None:
    """Refuses sets of images that have no variance, or hardly one."""
    from evenbatch.gan.yardstick.measuring import FEWEST

    fewest = min(samples, len(dataset.val), len(dataset.train))
    if fewest < FEWEST:
        raise InvalidData(
            f"a measurement needs at least {FEWEST} images, received samples={samples} of "
            f"{len(dataset.train)} training and {len(dataset.val)} validation images; give more of what is short"
        )
