"""Each way of running the kernels, as a fixture."""

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import ways

# What is about one backend's own ways is not collected with another.
collect_ignore = [f"test_on_{name}.py" for name in ("tensorflow", "jax", "torch") if name != ways.BACKEND]


@pytest.fixture(params=ways.MODES)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if "fused" in request.param:
        monkeypatch.setattr("evenbatch.kernels.tensorflow._WORTH_FUSING", 0)
        monkeypatch.setattr("evenbatch.kernels.tensorflow._WORTH_FUSING_INFERENCE", 0)
        monkeypatch.setattr("evenbatch.kernels.slices.tensorflow._WORTH_A_TURN", 0)
    if request.param == "native":
        monkeypatch.setattr("evenbatch.kernels.torch._SMALL", 0)
    if "large" in request.param:
        import jax

        jax.clear_caches()  # what was compiled for small tensors is not asked again
        monkeypatch.setattr("evenbatch.kernels.jax._SMALL", 0)
    if request.param == "traced":
        monkeypatch.setattr("evenbatch.kernels.torch._is_traced", lambda: True)
    return str(request.param)


@pytest.fixture
def run(mode: str) -> Callable[..., list[Any]]:
    """`run(function, *arrays)`: the arrays that a function of tensors gives, computed in the mode at hand."""
    return lambda function, *arrays, axis=-1: ways.run(mode, function, arrays, axis)


@pytest.fixture
def double() -> Any:
    """A context in which float64 is kept."""
    if ways.BACKEND == "jax":
        import jax

        return jax.enable_x64(True)
    return contextlib.nullcontext()
