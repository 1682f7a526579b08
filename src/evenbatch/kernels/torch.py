"""The kernels on PyTorch: its native kernels, fed so that they are exact, and a formula that `torch.compile` fuses.

On CPU the native kernel sums a channel-last batch in one chain of float32 additions a channel. Its parts need not: the
statistics are taken of a view in which rows stand side by side as further channels, so that the chains are short, and
are merged here, which is also faster. The elementwise part and the gradient are native. What CUDA has is exact as it
is.
"""

import math
from functools import lru_cache
from typing import Any

import torch

from evenbatch.kernels.statistics import Statistics

# How many rows are laid side by side, at most, how many channels that may make, and the longest chain that is allowed.
_SIDE_BY_SIDE, _WIDEST, _LONGEST = 64, 2**12, 2**12
# Below this number of elements the fewest operations are the fastest (measured on 2 cores).
_SMALL = 2**14
# The CPU's `x * a + b` rounds at the size of the mean, and so do means that are merged. Where a mean is more than this
# many deviations from 0, the exact and slower way is taken.
_LARGEST_RATIO = 100.0


def normalize_batch(x: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> tuple[Any, Statistics]:
    """Normalizes `x` by its own moments."""
    count, channels, like = _count(x, axis), x.shape[axis], _wide(x)
    if count < 2 or x.numel() < _SMALL or _is_traced():
        wide = x.to(like)  # once, so that its gradients are added in float32
        found = moments(wide, axis)
        y = normalize(wide, found.mean, found.variance, gamma, beta, axis, epsilon).to(x.dtype)
        return y, Statistics(count, found.mean.detach(), found.variance.detach())
    gamma = x.new_ones(channels, dtype=like) if gamma is None else gamma.to(like)
    beta = x.new_zeros(channels, dtype=like) if beta is None else beta.to(like)
    view, restore = _channels_second(x, axis)
    if x.device.type == "cpu":
        y, mean, variance = _OnCpu.apply(view, gamma, beta, epsilon)
    else:
        y, mean, variance = _by_framework(view, gamma, beta, count, epsilon)
    return restore(y), Statistics(count, mean, variance)


def normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments."""
    if not _is_for_the_cpu(x, axis) or _is_far(mean, variance, epsilon):
        return _normalize(x, mean, variance, gamma, beta, _kept(x, axis), epsilon)
    channels, like = x.shape[axis], _wide(x)
    gamma = x.new_ones(channels, dtype=like) if gamma is None else gamma.to(like)
    beta = x.new_zeros(channels, dtype=like) if beta is None else beta.to(like)
    view, restore = _channels_second(x, axis)
    return restore(_NormalizeOnCpu.apply(view, mean.to(like), variance.to(like), gamma, beta, epsilon))


def inference(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, axis: int, epsilon: float) -> Any:
    """Normalizes `x` by given moments that no gradient flows to."""
    if _is_traced() or x.numel() < _SMALL or (x.device.type == "cpu" and _is_far(mean, variance, epsilon)):
        return _normalize(x, mean, variance, gamma, beta, _kept(x, axis), epsilon)
    like = _wide(x)
    view, restore = _channels_second(x, axis)
    mean, variance = mean.to(like), variance.to(like)
    gamma, beta = (None if values is None else values.to(like) for values in (gamma, beta))
    return restore(torch.nn.functional.batch_norm(view, mean, variance, gamma, beta, training=False, eps=epsilon))


def moments(x: Any, axis: int) -> Statistics:
    """Mean and biased variance of each channel."""
    if _is_for_the_cpu(x, axis):
        return Statistics(_count(x, axis), *_MomentsOnCpu.apply(_channels_second(x, axis)[0]))
    return _moments(x, _kept(x, axis))


def masked_moments(x: Any, mask: Any, axis: int) -> Statistics:
    """The moments of the positions where `mask`, of the shape of `x` without `axis`, is true."""
    return _masked_moments(x, _broadcast_mask(x, mask, axis), _kept(x, axis))


def _normalize(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, kept: tuple[int, ...], epsilon: float) -> Any:
    like = _wide(x)
    scale = torch.rsqrt(variance.to(like) + epsilon)
    scale = _along(scale if gamma is None else scale * gamma.to(like), x, kept)
    centred = x.to(like) - _along(mean.to(like), x, kept)
    y = centred * scale if beta is None else torch.addcmul(_along(beta.to(like), x, kept[-1:]), centred, scale)
    return y.to(x.dtype)


def _moments(x: Any, kept: tuple[int, ...]) -> Statistics:
    others = _others(x, kept)
    count = math.prod([x.shape[i] for i in others])
    if x.numel() == 0:
        nothing = x.to(_wide(x)).sum(others)  # not new zeros: other ranks wait for what this one's gradient exchanges
        return Statistics(count, nothing, nothing)
    if _is_traced():
        return Statistics(count, *_corrected_moments(x.to(_wide(x)), kept))
    variance, mean = torch.var_mean(x.to(_wide(x)), others, correction=0)
    return Statistics(count, mean, variance)


def _broadcast_mask(x: Any, mask: Any, axis: int) -> Any:
    """The mask with the shape of `x`, but for a 1 at the axis of the channels."""
    positions = [1 if i == axis % x.dim() else size for i, size in enumerate(x.shape)]
    return mask.bool().unsqueeze(axis % x.dim()).expand(positions)


def _masked_moments(x: Any, mask: Any, kept: tuple[int, ...]) -> Statistics:
    others, x = _others(x, kept), x.to(_wide(x))
    count = mask.sum(others).to(x.dtype)
    n = count.clamp(min=1)
    mean = torch.where(mask, x, 0).sum(others) / n
    deviation = torch.where(mask, x - _along(mean, x, kept), 0)
    rest = deviation.sum(others) / n
    variance = _corrected(deviation.square().sum(others) / n, rest)
    return Statistics(count.squeeze(-1), mean + rest, variance)


class _OnCpu(torch.autograd.Function):  # type: ignore[misc]
    """The native kernels of the CPU, on a view with the channels second."""

    @staticmethod
    def forward(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
        mean, variance = _merged_moments(x)
        if _is_far(mean, variance, epsilon):
            variance, mean = torch.var_mean(x.to(gamma.dtype), _others(x, (1,)), correction=0)
            return _normalize(x, mean, variance, gamma, beta, (1,), epsilon), mean, variance
        y = torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)
        return y, mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, gamma, _, ctx.epsilon = inputs
        _, mean, variance = output
        ctx.mark_non_differentiable(mean, variance)
        ctx.save_for_backward(x, gamma, mean, variance)

    @staticmethod
    @torch.compiler.disable  # compiled, it would read what checkpointing had already given away
    def backward(ctx: Any, dy: Any, *_: Any) -> Any:
        x, gamma, mean, variance = ctx.saved_tensors
        # Differentiable in its turn: PyTorch knows the derivative of this function with respect to dy, x and gamma.
        dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
            dy.contiguous(),  # of any other layout the kernel sums bfloat16 in bfloat16
            x,
            gamma,
            None,
            None,
            mean,
            torch.rsqrt(variance + ctx.epsilon),
            True,
            ctx.epsilon,
            list(ctx.needs_input_grad[:3]),
        )
        return dx, dgamma, dbeta, None


class _MomentsOnCpu(torch.autograd.Function):  # type: ignore[misc]
    """Mean and biased variance over all axes of a view but the second."""

    @staticmethod
    def forward(x: Any) -> Any:
        mean, variance = _merged_moments(x)
        if _is_far(mean, variance, 0.0):
            variance, mean = torch.var_mean(x.to(mean.dtype), _others(x, (1,)), correction=0)
        return mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        mean, variance = output
        ctx.far = _is_far(mean, variance, 0.0)
        ctx.save_for_backward(*inputs, mean)

    @staticmethod
    @torch.compiler.disable  # as that of _OnCpu
    def backward(ctx: Any, dmean: Any, dvariance: Any) -> Any:
        x, mean = ctx.saved_tensors
        n = x.numel() // x.shape[1]
        scale, shift = 2 * dvariance / n, dmean / n
        # PyTorch has no derivative of batch_norm with respect to a given mean, which a second derivative wants.
        if ctx.far or torch.is_grad_enabled():
            return _normalize(x, mean, torch.ones_like(mean), scale, shift, (1,), 0.0)
        return torch.nn.functional.batch_norm(x, mean, torch.ones_like(mean), scale, shift, training=False, eps=0.0)


class _NormalizeOnCpu(torch.autograd.Function):  # type: ignore[misc]
    """A view with the channels second, normalized by moments that gradients flow to."""

    @staticmethod
    def forward(x: Any, mean: Any, variance: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
        return torch.nn.functional.batch_norm(x, mean, variance, gamma, beta, training=False, eps=epsilon)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, mean, variance, gamma, _, ctx.epsilon = inputs
        ctx.save_for_backward(x, mean, variance, gamma)

    @staticmethod
    @torch.compiler.disable  # as that of _OnCpu
    def backward(ctx: Any, dy: Any) -> Any:
        x, mean, variance, gamma = ctx.saved_tensors
        inverse = torch.rsqrt(variance + ctx.epsilon)
        if torch.is_grad_enabled():  # the native kernel's own derivative takes the moments for constants
            dx, dgamma, dbeta = _normalize_gradient(dy, x, mean, inverse, gamma)
        else:
            wanted = [ctx.needs_input_grad[0], True, True]
            dx, dgamma, dbeta = torch.ops.aten.native_batch_norm_backward(
                dy.contiguous(), x, gamma, mean, variance, None, None, False, ctx.epsilon, wanted
            )
        scale = gamma * inverse
        return dx, -dbeta * scale, -0.5 * dgamma * scale * inverse, dgamma, dbeta, None


def _normalize_gradient(dy: Any, x: Any, mean: Any, inverse: Any, gamma: Any) -> tuple[Any, Any, Any]:
    """Gradients to x, gamma and beta where the moments are given, by operations that have derivatives themselves."""
    others, kept, wide = _others(x, (1,)), (1,), dy.to(gamma.dtype)
    dgamma = (wide * (x.to(gamma.dtype) - _along(mean, x, kept))).sum(others) * inverse
    return (wide * _along(gamma * inverse, x, kept)).to(x.dtype), dgamma, wide.sum(others)


def _by_framework(x: Any, gamma: Any, beta: Any, count: int, epsilon: float) -> tuple[Any, Any, Any]:
    """PyTorch's own batch normalization, of whose running statistics with momentum 1 those of the batch are read."""
    mean, unbiased = torch.zeros_like(gamma), torch.zeros_like(gamma)
    y = torch.nn.functional.batch_norm(x, mean, unbiased, gamma, beta, training=True, momentum=1.0, eps=epsilon)
    return y, mean, unbiased * ((count - 1) / count)


def _corrected_moments(x: Any, kept: tuple[int, ...]) -> tuple[Any, Any]:
    """The corrected two-pass algorithm of Chan, Golub & LeVeque 1983: what rounding left in the mean comes back."""
    others = _others(x, kept)
    mean = x.mean(others)
    deviation = x - _along(mean, x, kept)
    rest = deviation.mean(others)
    return mean + rest, _corrected(deviation.square().mean(others), rest)


def _corrected(variance: Any, rest: Any) -> Any:
    """The variance about the mean, of that about a mean which is off by `rest`. One that overflowed stays infinite."""
    corrected = variance - torch.where(variance.isinf(), 0, rest.square())
    return torch.where(corrected < 0, 0, corrected)  # no clamp, whose derivative at 0 is a choice


def _merged_moments(x: Any) -> tuple[Any, Any]:
    """Mean and biased variance over all axes but the second.

    A batch of planes is summed in float64 as it is, rows are in parts. These are of one size, so the merge of Chan,
    Golub & LeVeque 1983 is the mean of their means, and the mean of their variances and squared distances to it.
    """
    channels, count = x.shape[1], x.numel() // x.shape[1]
    in_rows = x.dim() == 4 and x.shape[2] == x.shape[3] == 1
    parts = _parts(count, channels) if in_rows else 1
    if in_rows and count // parts > _LONGEST:
        variance, mean = torch.var_mean(x.to(_wide(x)), _others(x, (1,)), correction=0)
        return mean, variance
    wide = x.reshape(count // parts, parts * channels, 1, 1) if parts > 1 else x
    # Given float32 arrays to fill, the kernel keeps float32 statistics of float16 and bfloat16 batches.
    filled = x.new_zeros(parts * channels, dtype=_wide(x)) if x.dtype != _wide(x) else None
    means, variances = torch.batch_norm_update_stats(wide, filled, filled, 1.0)
    if parts == 1:
        return means, variances
    means, variances = means.view(parts, channels), variances.view(parts, channels)
    mean = means.mean(0)
    return mean, (variances + (means - mean).square()).mean(0)


@lru_cache(maxsize=1024)
def _parts(count: int, channels: int) -> int:
    """Into how many interleaved parts of one size `count` rows are divided."""
    most = min(_SIDE_BY_SIDE, max(_WIDEST // channels, 1), math.isqrt(count))
    return next(parts for parts in range(most, 0, -1) if count % parts == 0)


def _channels_second(x: Any, axis: int) -> tuple[Any, Any]:
    """`x` with its channels second, without a copy where memory allows it, and the way back.

    Rows of channels become images of one pixel, which the native kernels are fastest with; planes of channels stay
    planes.
    """
    rank, axis = x.dim(), axis % x.dim()
    if rank == 2 and axis == 1 and x.is_contiguous():
        return x[:, :, None, None], lambda y: y[:, :, 0, 0]
    rows, planes = x.movedim(axis, -1), x.movedim(axis, 1) if axis else x.movedim(0, -1)
    if x.device.type != "cpu" or (axis and rank > 2 and planes.is_contiguous()):
        return planes, lambda y: y.movedim(1, axis) if axis else y.movedim(-1, 0)
    matrix = rows.reshape(-1, x.shape[axis], 1, 1).contiguous()
    return matrix, lambda y: y.view(rows.shape).movedim(-1, axis)


def _is_for_the_cpu(x: Any, axis: int) -> bool:
    """Whether given moments, and moments alone, are for the CPU's native kernels."""
    return x.device.type == "cpu" and _count(x, axis) > 1 and x.numel() >= _SMALL and not _is_traced()


def _is_traced() -> bool:
    """Whether a compiler, an exporter, forward mode or `torch.func` follows, which want plain operations."""
    return bool(
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        # Neither has a public name. Forward mode counts its levels from 0.
        or torch.autograd.forward_ad._current_level >= 0
        or torch._C._are_functorch_transforms_active()
    )


def _is_far(mean: Any, variance: Any, epsilon: float) -> bool:
    most = _LARGEST_RATIO**2
    return bool(torch.sub(mean.square(), variance, alpha=most).max() > most * epsilon)


def _wide(x: Any) -> Any:
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _kept(x: Any, axis: int) -> tuple[int, ...]:
    """The axes that moments keep: the one of the channels, behind that of the slices where there are any."""
    return (axis % x.dim(),)


def _others(x: Any, kept: tuple[int, ...]) -> list[int]:
    return [i for i in range(x.dim()) if i not in kept]


def _count(x: Any, axis: int) -> int:
    # Of a list, because torch.compile breaks its graph at generators.
    return math.prod([size for i, size in enumerate(x.shape) if i != axis % x.dim()])


def _along(values: Any, x: Any, kept: tuple[int, ...]) -> Any:
    """`values`, of the shape of the axes that are kept, as a tensor that broadcasts against `x`."""
    if kept == (x.dim() - 1,):
        return values
    return values.reshape([x.shape[i] if i in kept else 1 for i in range(x.dim())])
