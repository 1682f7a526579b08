"""One device, forward and backward: `normalize_batch`, and `moments` and `normalize` derived by the framework."""

from typing import Any

from evenbatch import kernels
from evenbatch.bench import backends
from evenbatch.bench.interleave import Call
from evenbatch.bench.plan import Shape
from evenbatch.bench.tensors import values

SHAPES: list[Shape] = [(128, 32, 32, 16), (64, 56, 56, 64), (128, 8, 8, 64), (256, 1024)]
COLUMNS = ("normalize_batch, ms", "moments, normalize, ms", "moments alone, ms", "ratio (middle half)")


def fused(x: Any, gamma: Any, beta: Any) -> Any:
    return kernels.normalize_batch(x, gamma, beta, -1, 1e-3)[0]


def composed(x: Any, gamma: Any, beta: Any) -> Any:
    found = kernels.moments(x, -1)
    return kernels.normalize(x, found.mean, found.variance, gamma, beta, -1, 1e-3)


def calls(name: str, shape: Shape) -> tuple[dict[str, Call], Any]:
    """Output and gradients of both, and the moments alone, without a gradient."""
    x, dy = values(shape), values(shape, seed=1)
    gamma, beta = values(shape[-1:], seed=2), values(shape[-1:], seed=3)
    step = {"tensorflow": _on_tensorflow, "jax": _on_jax, "torch": _on_torch}[name]
    arms = {
        "normalize_batch": step(fused, x, gamma, beta, dy),
        "moments, normalize": step(composed, x, gamma, beta, dy),
        "moments alone": step(None, x, gamma, beta, dy),
    }
    return arms, backends.load(name).wait


def _on_tensorflow(way: Any, *given: Any) -> Call:
    import tensorflow as tf

    def run(x: Any, gamma: Any, beta: Any, dy: Any) -> Any:
        if way is None:
            return kernels.moments(x, -1)[1:]
        with tf.GradientTape() as tape:
            tape.watch((x, gamma, beta))
            y = way(x, gamma, beta)
        return y, tape.gradient(y, [x, gamma, beta], dy)

    # The batch is left open, as it is in `fit`.
    kinds = [tf.TensorSpec((None, *one.shape[1:]) if one.ndim > 1 else one.shape) for one in given]
    graph = tf.function(run, autograph=False).get_concrete_function(*kinds)
    return lambda: graph(*given)


def _on_jax(way: Any, *given: Any) -> Call:
    import jax

    def run(x: Any, gamma: Any, beta: Any, dy: Any) -> Any:
        if way is None:
            return kernels.moments(x, -1)[1:]
        y, back = jax.vjp(way, x, gamma, beta)
        return y, back(dy)

    compiled = jax.jit(run)
    return lambda: jax.block_until_ready(compiled(*given))


def _on_torch(way: Any, x: Any, gamma: Any, beta: Any, dy: Any) -> Call:
    import torch

    def moments() -> object:
        with torch.no_grad():
            return kernels.moments(x, -1)

    watched = [one.detach().clone().requires_grad_() for one in (x, gamma, beta)]

    def run() -> object:
        y = way(*watched)
        return y, torch.autograd.grad(y, watched, dy)

    return moments if way is None else run
