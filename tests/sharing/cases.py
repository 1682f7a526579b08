"""What replicas are given in the tests: a global batch, how it is split, and the layer."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np

CHANNELS, ROWS = 3, 32


@dataclass(frozen=True)
class Case:
    """A layer, a global batch of 32 rows, and the rows of each replica."""

    split: tuple[int, ...]
    kind: str = "BatchNormalization"
    arguments: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    mean: float = 0.0
    axis: int = -1
    masked: str = ""
    mode: str = "eager"
    penalty: bool = False

    @property
    def name(self) -> str:
        words = [self.kind, *(f"{key}={value}" for key, value in self.arguments.items()), self.dtype, self.mode]
        words += [f"axis={self.axis}"] * (self.axis != -1) + [f"mean={self.mean:g}"] * bool(self.mean)
        words += [f"masked-{self.masked}"] * bool(self.masked) + ["penalty"] * self.penalty
        return "-".join([*words, "+".join(map(str, self.split))])

    @property
    def is_local(self) -> bool:
        """Whether each replica normalizes by itself, so that its outputs are not those of one device."""
        cut_elsewhere = self.kind.startswith("Ghost") and any(rows % 4 for rows in self.split)
        return self.arguments.get("synchronized") is False or cut_elsewhere

    def cuts(self) -> list[slice]:
        """The rows of each replica."""
        ends = np.cumsum(self.split)
        return [slice(int(end - rows), int(end)) for rows, end in zip(self.split, ends, strict=True)]


@dataclass(frozen=True)
class Batch:
    """The global batch, what the gradient comes in with, and the layer's weights."""

    x: Any
    dy: Any
    gamma: Any
    beta: Any
    labels: Any
    mask: Any


def batch(case: Case) -> Batch:
    """The same arrays for the same case, in float32 or float64; rounded to what the case's dtype can hold."""
    rng = np.random.default_rng(7)
    shape = (ROWS, 5, CHANNELS) if case.axis == -1 else (ROWS, CHANNELS, 5)
    # Each row has a mean of its own, so that parts of the batch differ from the whole.
    x = rng.normal(size=shape) + 0.1 * np.arange(ROWS)[:, None, None] + case.mean
    masks = {
        "": None,
        "some": rng.random((ROWS, 5)) < 0.6,
        "a-part": np.broadcast_to(np.arange(ROWS)[:, None] >= ROWS // 2, (ROWS, 5)).copy(),
        "all": np.zeros((ROWS, 5), bool),
    }
    dtype = "float64" if case.dtype == "float64" else "float32"
    return Batch(
        _rounded(x.astype(dtype), case.dtype),
        _rounded(rng.normal(size=shape).astype(dtype), case.dtype),
        rng.uniform(0.5, 2, CHANNELS).astype("float32"),
        rng.normal(size=CHANNELS).astype("float32"),
        (np.arange(ROWS) % 4).astype("int32"),
        masks[case.masked],
    )


def _rounded(x: Any, dtype: str) -> Any:
    if dtype == "float16":
        return x.astype("float16").astype("float32")
    if dtype == "bfloat16":  # the upper half of a float32
        return ((x.view("uint32") + 0x8000) & 0xFFFF0000).astype("uint32").view("float32")
    return x


EVEN = {2: (16, 16), 4: (8, 8, 8, 8)}
UNEVEN = {2: [(31, 1), (20, 12), (32, 0), (0, 32)], 4: [(15, 9, 8, 0), (29, 1, 1, 1), (0, 0, 1, 31)]}


def of_every_framework(replicas: int) -> list[Case]:
    """Splits into equal parts, which all three can express."""
    even = EVEN[replicas]
    local = {"synchronized": False}
    cases = [
        Case(even),
        Case(even, mode="graph"),
        Case(even, mode="graph", axis=1),
        Case(even, mean=1e4),
        Case(even, mean=1e4, mode="graph"),
        Case(even, dtype="float16"),
        Case(even, dtype="bfloat16", mode="graph"),
        Case(even, penalty=True),
        Case(even, mode="graph", penalty=True),
        Case(even, arguments={"debias": True}),
        Case(even, arguments={"scale": False, "center": False}, mode="graph"),
        Case(even, arguments={"renorm": True}),
        Case(even, arguments=local),
        Case(even, arguments=local, mode="graph", mean=1e4),
        Case(even, arguments=local, masked="some"),
        Case(even, arguments={"renorm": True, **local}),
        *(Case(even, masked=masked, mode=mode) for masked in ("some", "a-part", "all") for mode in ("eager", "graph")),
        Case(even, kind="GhostBatchNormalization", arguments={"virtual_batch_size": 4}),
        Case(even, kind="GhostBatchNormalization", arguments={"virtual_batch_size": 4}, mode="graph", masked="some"),
        Case(even, kind="ConditionalBatchNormalization", arguments={"num_classes": 4}),
        Case(even, kind="ConditionalBatchNormalization", arguments={"num_classes": 4, **local}, mode="graph"),
    ]
    return cases if replicas == 2 else cases[:1] + cases[3:5] + cases[7:9] + cases[12:13] + cases[16:18]


def of_uneven_parts(replicas: int) -> list[Case]:
    """Splits that a program of one shape for all devices cannot express."""
    modes = ("eager", "graph")
    return [
        *(Case(split, mode=mode) for split in UNEVEN[replicas] for mode in modes),
        *(Case(split, arguments={"synchronized": False}) for split in UNEVEN[replicas]),
        *(Case(split, mean=1e4) for split in UNEVEN[replicas][:2]),
        Case(UNEVEN[replicas][0], penalty=True),
        Case(UNEVEN[replicas][-1], penalty=True, mode="graph"),
        Case(UNEVEN[replicas][0], masked="some", arguments={"debias": True}),
        Case(UNEVEN[replicas][-1], arguments={"renorm": True}),
        Case(UNEVEN[replicas][-1], kind="GhostBatchNormalization", arguments={"virtual_batch_size": 4}),
        Case(UNEVEN[replicas][-1], kind="ConditionalBatchNormalization", arguments={"num_classes": 4}, mode="graph"),
        Case(UNEVEN[replicas][-1], dtype="float16"),
        Case(UNEVEN[replicas][0], dtype="float64", masked="some"),
        Case(UNEVEN[replicas][-1], dtype="float64", mean=1e4),
    ]


def of(backend: str, replicas: int) -> list[Case]:
    """The cases that a framework can express."""
    if backend == "tensorflow":
        return of_every_framework(replicas) + of_uneven_parts(replicas)
    # The slow one of the two ways, a second a case, is taken for a few: JAX without jit, PyTorch with torch.compile.
    if backend == "jax":
        found = [dataclasses.replace(case, mode="graph") for case in of_every_framework(replicas)]
        return list({case.name: case for case in [*found, Case(EVEN[replicas], mean=1e4)]}.values())
    found = [
        dataclasses.replace(case, mode="eager") for case in of_every_framework(replicas) + of_uneven_parts(replicas)
    ]
    found += [Case(EVEN[replicas], mode="graph"), Case(UNEVEN[replicas][0], mode="graph", masked="some")]
    return list({case.name: case for case in found}.values())
