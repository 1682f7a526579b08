"""Slices on PyTorch: large ones by its native kernels, which write them side by side, others by a formula for all."""

from collections.abc import Callable
from typing import Any

import torch

from evenbatch.kernels import torch as whole
from evenbatch.kernels.slices.cuts import rows_in_front, sizes
from evenbatch.kernels.statistics import Statistics


def normalize_slices(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> tuple[Any, Statistics]:
    """Normalizes each slice of `x` by its own moments."""
    channels, like = x.shape[axis], whole._wide(x)
    gamma = x.new_ones(channels, dtype=like) if gamma is None else gamma.to(like)
    beta = x.new_zeros(channels, dtype=like) if beta is None else beta.to(like)
    y, mean, variance = _way(x, size)(x, gamma, beta, axis % x.dim(), epsilon, size)
    others = whole._count(x[:1], axis) if len(x) else 0
    counts = tuple(rows * others for rows in sizes(len(x), size))
    return y, Statistics(counts, mean.detach(), variance.detach())


def normalize_masked_slices(
    x: Any, mask: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int
) -> tuple[Any, Statistics]:
    """The same by the moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    kept = (0, axis % x.dim() + 1)

    def normalized(x: Any, mask: Any) -> tuple[Any, ...]:
        batch = whole._masked_moments(x, mask, kept)
        return whole._normalize(x, batch.mean, batch.variance, gamma, beta, kept, epsilon), *batch

    y, *parts = _in_blocks(normalized, (x, whole._broadcast_mask(x, mask, axis)), size)
    return y, Statistics(*parts)


def merged(parts: Statistics) -> Statistics:
    """The statistics of all values, from those of parts of them: Chan, Golub & LeVeque 1983."""
    known = isinstance(parts.count, tuple)
    total = sum(parts.count) if known else parts.count.sum()
    counts = parts.mean.new_tensor(parts.count) if known else parts.count.to(parts.mean.dtype)
    weights = (counts / counts.sum().clamp(min=1))[:, None]
    mean = (weights * parts.mean).sum(0)
    distances = parts.mean - mean
    rest = (weights * distances).sum(0)
    variance = whole._corrected((weights * (parts.variance + distances.square())).sum(0), rest)
    return Statistics(total, mean + rest, variance)


def _way(x: Any, size: int) -> Any:
    """Which of the three implementations takes the slices of `x`."""
    if len(x) < 2 or not x.numel() or size * x[0].numel() < whole._SMALL or whole._is_traced():
        return _by_formula
    return _on_cpu if x.device.type == "cpu" else _one_by_one


def _by_formula(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    kept, wide = (0, axis + 1), x.to(whole._wide(x))  # once, so that its gradients are added in float32

    def normalized(x: Any) -> tuple[Any, ...]:
        batch = whole._moments(x, kept)
        return whole._normalize(x, batch.mean, batch.variance, gamma, beta, kept, epsilon), batch.mean, batch.variance

    y, mean, variance = _in_blocks(normalized, (wide,), size)
    return y.to(x.dtype), mean, variance


def _one_by_one(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    found = [whole.normalize_batch(part, gamma, beta, axis, epsilon) for part in x.split(sizes(len(x), size))]
    y, batches = zip(*found, strict=True)
    return torch.cat(y), torch.stack([one.mean for one in batches]), torch.stack([one.variance for one in batches])


def _on_cpu(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float, size: int) -> Any:
    view, restore = whole._channels_second(x, axis)
    rows = len(view) // len(x)  # of the view, for each of the batch
    y, mean, variance = _SlicesOnCpu.apply(view, gamma, beta, epsilon, [rows * one for one in sizes(len(x), size)])
    return restore(y), mean, variance


class _SlicesOnCpu(torch.autograd.Function):  # type: ignore[misc]
    """The native kernels of the CPU, on a view with the channels second. Each writes its slice of the output."""

    @staticmethod
    def forward(x: Any, gamma: Any, beta: Any, epsilon: float, cuts: list[int]) -> Any:
        y, found = torch.empty_like(x), []
        for part, out in zip(x.split(cuts), y.split(cuts), strict=True):
            mean, variance = whole._merged_moments(part)
            if whole._is_far(mean, variance, epsilon):
                variance, mean = torch.var_mean(part.to(gamma.dtype), whole._others(part, (1,)), correction=0)
                out.copy_(whole.normalize(part, mean, variance, gamma, beta, 1, epsilon))
            else:
                unused = gamma.new_empty(0), gamma.new_empty(0)
                torch.native_batch_norm(part, gamma, beta, mean, variance, False, 0.0, epsilon, out=(out, *unused))
            found.append((mean, variance))
        means, variances = zip(*found, strict=True)
        return y, torch.stack(means), torch.stack(variances)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, gamma, _, ctx.epsilon, ctx.cuts = inputs
        _, means, variances = output
        ctx.mark_non_differentiable(means, variances)
        ctx.save_for_backward(x, gamma, means, variances)

    @staticmethod
    @torch.compiler.disable  # compiled, it would read what checkpointing had already given away
    def backward(ctx: Any, dy: Any, *_: Any) -> Any:
        x, gamma, means, variances = ctx.saved_tensors
        inverses, dy = torch.rsqrt(variances + ctx.epsilon), dy.contiguous()
        # Functions that fill a given tensor have no derivative; where one is wanted, the slices are joined by a copy.
        dx = None if torch.is_grad_enabled() else torch.empty_like(x)
        outs = [None] * len(means) if dx is None else dx.split(ctx.cuts)
        parts = zip(dy.split(ctx.cuts), x.split(ctx.cuts), means, inverses, outs, strict=True)
        dxs, dgammas, dbetas = zip(*(_gradient(*part, gamma, ctx.epsilon) for part in parts), strict=True)
        return torch.cat(dxs) if dx is None else dx, sum(dgammas), sum(dbetas), None, None


def _gradient(dy: Any, x: Any, mean: Any, inverse: Any, out: Any, gamma: Any, epsilon: float) -> Any:
    function = torch.ops.aten.native_batch_norm_backward
    arguments = dy, x, gamma, None, None, mean, inverse, True, epsilon, [True, True, True]
    if out is None:
        return function(*arguments)
    return function.out(*arguments, out0=out, out1=torch.empty_like(gamma), out2=torch.empty_like(gamma))


def _in_blocks(function: Callable[..., tuple[Any, ...]], tensors: tuple[Any, ...], size: int) -> tuple[Any, ...]:
    """The function of tensors of shape (slices, rows of each, ...), for the slices of one size and for the last."""
    rows = len(tensors[0])
    front = rows_in_front(rows, size)
    found = []
    if front or not rows:
        found.append(function(*(t[:front].reshape(front // size, size, *t.shape[1:]) for t in tensors)))
    if front < rows:
        found.append(function(*(t[front:].unsqueeze(0) for t in tensors)))
    found = [(y.flatten(0, 1), *parts) for y, *parts in found]
    return found[0] if len(found) == 1 else tuple(torch.cat(parts) for parts in zip(*found, strict=True))
