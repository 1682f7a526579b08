"""How each framework is timed: one module a backend, all with the same functions. Only these import a framework."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from evenbatch.bench.interleave import Call


@dataclass(frozen=True)
class Device:
    """Where the backend computes: "cpu" or "gpu", its name, and how many threads of the processor it uses."""

    kind: str
    name: str
    threads: int


class Backend(Protocol):
    """What a module of this package offers.

    Tensors are the backend's, on its device; layers and models are Keras', built. `mode` is one of `plan.MODES`.
    """

    def require(self, mode: str) -> None:
        """Refuses a mode that this installation cannot run, in one sentence."""

    def device(self) -> Device:
        """Where it computes."""

    def wait(self, result: object) -> None:
        """Blocks until the device has computed the result."""

    def copies(self, elements: int) -> Mapping[str, Call]:
        """Ways to read and write a float32 tensor of that size once."""

    def layer_training(self, layer: Any, x: Any, upstream: Any, mode: str) -> Call:
        """Output and new moving statistics, and the gradients to inputs, gamma and beta for an upstream gradient."""

    def native_training(self, x: Any, upstream: Any, mode: str) -> Call | None:
        """The same from the framework's bare op; None where it has none."""

    def inference(self, module: Any, x: Any, mode: str) -> Call:
        """Output of a layer or a model in inference."""

    def native_inference(self, x: Any, mode: str) -> Call | None:
        """The same from the framework's bare op; None where it has none."""

    def model_training(self, model: Any, x: Any, y: Any, mode: str) -> Call:
        """One step of a compiled model's optimizer, as `fit` takes it; traced, but not run."""

    def start_peak(self) -> int | None:
        """Bytes in use on the device, from which `peak` is counted; None where it keeps no count."""

    def peak(self) -> int:
        """The most bytes that were in use on the device."""


def load(name: str) -> Backend:
    """The module of that backend."""
    return cast(Backend, importlib.import_module(f"evenbatch.bench.backends.{name}"))
