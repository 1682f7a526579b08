"""PyTorch: eagerly, or compiled by `torch.compile`."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from evenbatch.bench import cpu
from evenbatch.bench.backends import Device
from evenbatch.bench.interleave import Call
from evenbatch.errors import InvalidArgument

_EPSILON = 1e-3


def require(mode: str) -> None:
    """Compiles a small function where the mode is "compiled": only that tells whether a compiler is there."""
    if mode == "eager":
        return
    try:
        torch.compile(lambda x: torch.sin(x) + 1)(torch.zeros(8))
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        raise InvalidArgument(
            f"--mode compiled needs a C++ compiler that torch.compile can use, and compiling failed: {reason}; "
            "install one, such as g++, or choose --mode eager"
        ) from error


def device() -> Device:
    """The accelerator, else the processor."""
    where, threads = _where(), torch.get_num_threads()
    if where == "cpu":
        return Device("cpu", cpu.name(), threads)
    return Device("gpu", torch.cuda.get_device_name() if where == "cuda" else where, threads)


def wait(result: object) -> None:
    """Blocks until the accelerator is done; a processor computes as it is called."""
    if _where() != "cpu":
        torch.accelerator.synchronize()


def copies(elements: int) -> Mapping[str, Call]:
    """Into another tensor, and in place."""
    x, y = torch.zeros(elements, device=_where()), torch.zeros(elements, device=_where())
    return {"y = x": lambda: y.copy_(x), "x += 1": lambda: x.add_(1.0)}


def layer_training(layer: Any, x: Any, upstream: Any, mode: str) -> Call:
    """The layer, and autograd."""
    run = _in(mode, lambda x: layer(x, training=True))
    return _with_gradients(run, x, upstream, [layer.gamma.value, layer.beta.value])


def native_training(x: Any, upstream: Any, mode: str) -> Call | None:
    """`torch.nn.functional.batch_norm`, moving statistics included, and autograd."""
    ones, zeros = _weights(x)
    gamma, beta = ones.clone().requires_grad_(), zeros.clone().requires_grad_()
    run = _in(mode, lambda x: _batch_norm(x, zeros, ones, gamma, beta, training=True))
    return _with_gradients(run, _channels_second(x), _channels_second(upstream), [gamma, beta])


def inference(module: Any, x: Any, mode: str) -> Call:
    """The call with training=False and without autograd."""
    return _without_gradients(_in(mode, lambda x: module(x, training=False)), x)


def native_inference(x: Any, mode: str) -> Call | None:
    """`torch.nn.functional.batch_norm` with the moving statistics."""
    ones, zeros = _weights(x)
    run = _in(mode, lambda x: _batch_norm(x, zeros, ones, ones, zeros, training=False))
    return _without_gradients(run, _channels_second(x))


def model_training(model: Any, x: Any, y: Any, mode: str) -> Call:
    """`train_step`, which `fit` calls in the same way."""
    with torch.no_grad():
        model.compute_loss(x, y, model(x))  # builds the loss, which torch.compile cannot do
    step, data = _in(mode, model.train_step), (x, y)
    return lambda: step(data)


def start_peak() -> int | None:
    """From the caching allocator of an NVIDIA or AMD GPU."""
    if _where() != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    return int(torch.cuda.memory_allocated())


def peak() -> int:
    """From the caching allocator of an NVIDIA or AMD GPU."""
    return int(torch.cuda.max_memory_allocated())


def _where() -> str:
    return str(torch.accelerator.current_accelerator().type) if torch.accelerator.is_available() else "cpu"


def _in(mode: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if mode == "eager":
        return function
    torch.compiler.reset()  # code that was compiled for several shapes would fall back to eager calls
    compiled: Callable[..., Any] = torch.compile(function)
    return compiled


def _with_gradients(run: Callable[..., Any], x: Any, upstream: Any, weights: list[Any]) -> Call:
    x = x.detach().requires_grad_()

    def call() -> object:
        y = run(x)
        return y, torch.autograd.grad(y, [x, *weights], upstream)

    return call


def _without_gradients(run: Callable[..., Any], x: Any) -> Call:
    def call() -> object:
        with torch.no_grad():
            return run(x)

    return call


def _weights(x: Any) -> tuple[Any, Any]:
    """Ones and zeros, one a channel, in float32, as the weights of mixed precision are."""
    channels = x.shape[-1]
    return torch.ones(channels, device=x.device), torch.zeros(channels, device=x.device)


def _channels_second(x: Any) -> Any:
    """The same memory seen as (batch, channels, ...); rank 4 is then what PyTorch calls channels last."""
    if x.ndim > 2 and x.ndim != 4:
        x = x.reshape(x.shape[0], -1, 1, x.shape[-1])
    return x.movedim(-1, 1)


def _batch_norm(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, *, training: bool) -> Any:
    return torch.nn.functional.batch_norm(
        x, mean, variance, gamma, beta, training=training, momentum=0.01, eps=_EPSILON
    )
