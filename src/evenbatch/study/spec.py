"""What a study is: arms × seeds on one data set, written down so that it can be run again.

A `Specification` holds all that its numbers depend on and is what two runs of one directory must agree in. A `Plan` is
the specification together with what a file cannot hold: the arrays and the functions that build the networks.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

from evenbatch.datasets import Dataset
from evenbatch.errors import InvalidArgument
from evenbatch.recipes import Optimizer
from evenbatch.study import fingerprint

Statistics = Literal["moving", "batch", "recalibrated"]
STATISTICS: tuple[str, ...] = get_args(Statistics)
"""What a generator's normalization goes by while it samples, as `evenbatch.gan.sampling` has it."""


@dataclass(frozen=True)
class Arm:
    """One treatment of the network under study.

    Args:
        normalize: True for `eb.BatchNormalization`, False for none, a function that returns a new layer, or, for the
            recipe "gan", a name of `evenbatch.recipes.gan.NORMALIZATIONS`.
        initial_scale: Factor on the spread of the random initial weights; 1 leaves the network's own.
        learning_rate: This arm's own learning rate; None for the study's.
        options: This arm's own options of the recipe, such as `{"dropout": 0.5}`, over those of the study.
    """

    normalize: bool | str | Callable[[], Any] = True
    initial_scale: float = 1.0
    learning_rate: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArmSpec(_Frozen):
    """An arm as the file has it; `normalize` is "batch", "none", another name, or a function's with a digest of it."""

    name: str
    normalize: str
    initial_scale: float
    learning_rate: float
    options: dict[str, Any] = {}


class AdversarialSpec(_Frozen):
    """How a GAN is trained and judged, beyond what every trial has.

    Attributes:
        beta_1: Of the optimizer.
        ema: What a step leaves of the average over the generator's weights; None for no average.
        statistics: Those by which grids are drawn and the distance is taken that the study is about.
        measure_every: Epochs from one measurement to the next; the last epoch is always measured.
        samples: Images that a measurement takes, at most.
        resize: Pixels on a side that the images were resized to, where they were.
        judge: SHA-256 of the classifiers in whose features distances are taken.
    """

    beta_1: float
    ema: float | None
    statistics: Statistics
    measure_every: int
    samples: int
    resize: int | None
    judge: str = ""


class DataSpec(_Frozen):
    """Which data: its name, a digest of the prepared arrays, sizes, and the share of the largest class in `val`."""

    name: str
    sha256: str
    train: int
    val: int
    test: int
    input_shape: tuple[int, ...]
    classes: int
    majority: float


class Pair(_Frozen):
    """Two arms that are compared seed by seed: the difference is `arm` minus `baseline`."""

    arm: str
    baseline: str


class Specification(_Frozen):
    """All that the numbers of a study depend on."""

    recipe: str
    options: dict[str, Any]
    arms: tuple[ArmSpec, ...]
    pairs: tuple[Pair, ...]
    seeds: tuple[int, ...]
    data: DataSpec
    epochs: int
    batch_size: int
    optimizer: Optimizer
    threads: int
    devices: int = 1
    versions: dict[str, str]
    backend: str
    adversarial: AdversarialSpec | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch; the last batch may be smaller, but that of a GAN is left out then."""
        if self.adversarial is not None:
            return self.data.train // self.batch_size
        return -(-self.data.train // self.batch_size)

    def options_of(self, arm: ArmSpec) -> dict[str, Any]:
        """What the recipe is given for an arm."""
        return {**self.options, **arm.options}

    @property
    def threads_of_a_process(self) -> int:
        """Threads of each process of a trial: on PyTorch each device is one."""
        return max(1, self.threads // self.devices) if self.backend == "torch" else self.threads

    def trials(self) -> list[tuple[ArmSpec, int]]:
        """Every arm with every seed, seed by seed, so that pairs complete early."""
        return [(arm, seed) for seed in self.seeds for arm in self.arms]

    def differences(self, other: "Specification") -> list[str]:
        """Where two specifications differ, a line for each place: name, this value, that value."""
        mine, theirs = _flat(self.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
        return [
            f"{key}: {mine.get(key, 'absent')} here, {theirs.get(key, 'absent')} asked for"
            for key in sorted(mine.keys() | theirs.keys())
            if mine.get(key) != theirs.get(key)
        ]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        return {key: text for name, item in value.items() for key, text in _flat(item, f"{path}.{name}").items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {
            key: text
            for i, item in enumerate(value)
            for key, text in _flat(item, f"{path}.{item.get('name', i)}").items()
        }
    return {path.lstrip("."): json.dumps(value)}


@dataclass(frozen=True)
class Plan:
    """A specification with what a file cannot hold."""

    spec: Specification
    dataset: Dataset
    build: Callable[..., Any]
    normalize: Mapping[str, bool | str | Callable[[], Any]]
    judge: Any = None


def describe_normalize(normalize: object) -> str:
    """How an arm's normalization is written in the file."""
    if isinstance(normalize, bool):
        return "batch" if normalize else "none"
    if isinstance(normalize, str):
        return normalize
    if callable(normalize):
        return fingerprint.describe(normalize)
    raise InvalidArgument(
        f"normalize must be True, False or a function that returns a new layer, received {normalize!r}"
    )
