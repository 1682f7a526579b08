"""Slices on PyTorch: large ones by its native kernels, which write them side by side, others by a formula for all."""

from collections.abc import Callable, Iterable
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
    if isinstance(parts.count, tuple):
        total: Any = sum(parts.count)
        weights = parts.mean.new_tensor([[count / max(total, 1)] for count in parts.count]).reshape(-1, 1)
    else:
        total = parts.count.sum()
        weights = (parts.count.to(parts.mean.dtype) / total.clamp(min=1))[:, None]
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
        parts, y = x.split(cuts), torch.empty_like(x)
        means, variances = _stacked(whole._merged_moments(part) for part in parts)
        if whole._is_far(means, variances, epsilon):
            exact = (torch.var_mean(part.to(gamma.dtype), whole._others(part, (1,)), correction=0) for part in parts)
            variances, means = _stacked(exact)
            for part, out, mean, variance in zip(parts, y.split(cuts), means, variances, strict=True):
                out.copy_(whole._normalize(part, mean, variance, gamma, beta, (1,), epsilon))
            return y, means, variances
        unused = gamma.new_empty(0), gamma.new_empty(0)
        for part, out, mean, variance in zip(parts, y.split(cuts), means, variances, strict=True):
            torch.native_batch_norm(part, gamma, beta, mean, variance, False, 0.0, epsilon, out=(out, *unused))
        return y, means, variances

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
        parts = dy.contiguous().split(ctx.cuts), x.split(ctx.cuts), means, torch.rsqrt(variances + ctx.epsilon)
        arguments = [
            (upstream, part, gamma, None, None, mean, inverse, True, ctx.epsilon, [True, True, True])
            for upstream, part, mean, inverse in zip(*parts, strict=True)
        ]
        function = torch.ops.aten.native_batch_norm_backward
        if torch.is_grad_enabled():  # A second derivative is wanted, which functions that fill a given tensor lack.
            dxs, dgammas, dbetas = zip(*(function(*one) for one in arguments), strict=True)
            return torch.cat(dxs), sum(dgammas), sum(dbetas), None, None
        dx, dgammas, dbetas = torch.empty_like(x), torch.empty_like(means), torch.empty_like(means)
        outs = zip(dx.split(ctx.cuts), dgammas, dbetas, strict=True)
        for one, (out, dgamma, dbeta) in zip(arguments, outs, strict=True):
            function.out(*one, out0=out, out1=dgamma, out2=dbeta)
        return dx, dgammas.sum(0), dbetas.sum(0), None, None


def _stacked(pairs: Iterable[tuple[Any, Any]]) -> tuple[Any, Any]:
    first, second = zip(*pairs, strict=True)
    return torch.stack(first), torch.stack(second)


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
