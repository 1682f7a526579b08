"""Ranks of a torch process group: the default one, or the one that `eb.replicas(group=...)` names."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist

from evenbatch.errors import SharingFailed
from evenbatch.sharing import setting
from evenbatch.sharing.peers import Peers


def found(layer: Any) -> Peers | None:
    """The ranks of the process group."""
    if not dist.is_available() or not dist.is_initialized():
        return None  # first of all, so that a compiled layer of one process is one graph
    said = _said(layer)
    if said.local:
        return None
    group = said.group if said.group is not None else dist.group.WORLD
    return _Group(group, layer) if dist.get_world_size(group) > 1 else None


def rows(row: Any, strategy: Any) -> Any:
    """The rows of all ranks of the group."""
    if not dist.is_available() or not dist.is_initialized():
        return row[None]
    said = setting.current()
    group = said.group if said.group is not None else dist.group.WORLD
    # NCCL takes no others than those of a GPU.
    mine = torch.tensor(row, device="cuda" if "nccl" in dist.get_backend(group) else "cpu")
    found = mine.new_empty((dist.get_world_size(group), *mine.shape))
    with _reported(group):
        dist.all_gather(list(found.unbind()), mine, group)
    return found.cpu().numpy()


# The setting of each layer's last call in a forward direction.
_LAST: WeakKeyDictionary[Any, setting.Setting] = WeakKeyDictionary()


@torch.compiler.disable
def _said(layer: Any) -> setting.Setting:
    """The setting of this call; of one that a checkpoint repeats in a backward direction, that of the last one forward.

    A backward direction may run outside of the block and, for CUDA, does run in another thread.
    """
    if torch._C._current_graph_task_id() == -1:  # what torch.utils.checkpoint asks, too; there is no public name
        _LAST[layer] = setting.current()
    return _LAST.get(layer, setting.current())


class _Group(Peers):
    """The ranks of a process group, for one layer."""

    def __init__(self, group: Any, layer: Any) -> None:
        self._group, self._layer = group, layer

    @torch.compiler.disable
    def _gathered(self, row: Any) -> Any:
        _agree(self._layer, self._group, row)
        return _Gathered.apply(row, self._group)

    @torch.compiler.disable
    def _handed_on(self, values: Any) -> Any:
        return _HandedOn.apply(values, self._group)


class _Exchange(torch.autograd.Function):  # type: ignore[misc]
    """What all exchanges keep for their derivative: among whom they are."""

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        _, ctx.group = inputs


class _Gathered(_Exchange):
    """The rows of all ranks. What depends on them is the same on every rank, and so is its gradient."""

    @staticmethod
    def forward(row: Any, group: Any) -> Any:
        rows = row.new_empty((dist.get_world_size(group), *row.shape))
        with _reported(group):
            dist.all_gather(list(rows.unbind()), row.contiguous(), group)
        return rows

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return _HandedOn.apply(gradient, ctx.group)[dist.get_rank(ctx.group)], None


class _HandedOn(_Exchange):
    """The same values; backward, the sum over ranks."""

    @staticmethod
    def forward(values: Any, group: Any) -> Any:
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return _Summed.apply(gradient, ctx.group), None


class _Summed(_Exchange):
    """The sum over ranks; backward, the same gradient for each of them."""

    @staticmethod
    def forward(values: Any, group: Any) -> Any:
        total = values.clone(memory_format=torch.contiguous_format)
        with _reported(group):
            dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return _HandedOn.apply(gradient, ctx.group), None


@contextmanager
def _reported(group: Any) -> Iterator[None]:
    """Says what it means that an exchange did not come about."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise SharingFailed(
            f"rank {dist.get_rank()} could not exchange statistics with the other ranks ({_reason(error)}); where one "
            "of them has ended, or did not call the same layer before the time-out that was given to "
            "init_process_group(), look at its output first; call a layer on one rank alone only in "
            "eb.local_statistics()"
        ) from error


def _reason(error: RuntimeError) -> str:
    return (str(error).splitlines() or ["no reason given"])[0].rsplit("] ", 1)[-1]


# Which groups and kinds of rows a layer has been compared for.
_AGREED: WeakKeyDictionary[Any, set[Any]] = WeakKeyDictionary()
_DTYPES = (torch.float32, torch.float64)


def _agree(layer: Any, group: Any, row: Any) -> None:
    """Compares, when a layer first meets these ranks, what its rows are on each of them.

    Raises:
        SharingFailed: they differ in channels, dtype or `synchronized`: rows would be mixed up, or one rank would wait
            for what another never sends.
    """
    channels, dtype = len(row) // 2, row.dtype  # a count, and two moments of each channel
    # By its name, so that a layer keeps no group alive that its owner has destroyed.
    known, kind = _AGREED.setdefault(layer, set()), (group.group_name, dtype, channels)
    if kind in known:
        return
    mine = torch.tensor([channels, _DTYPES.index(dtype), int(layer.synchronized)], device=row.device)
    rows = mine.new_empty((dist.get_world_size(group), len(mine)))
    with _reported(group):
        dist.all_gather(list(rows.unbind()), mine, group)
    if (rows != rows[0]).any():
        told = "; ".join(
            f"rank {dist.get_global_rank(group, i)} has {_told(row)}" for i, row in enumerate(rows.tolist())
        )
        raise SharingFailed(
            f"all ranks must call the same layer with the same channels, dtype and synchronized, and {told}; build the "
            "model by the same code on every rank"
        )
    known.add(kind)


def _told(row: list[int]) -> str:
    channels, dtype, synchronized = row
    return f"{channels} channels, statistics in {str(_DTYPES[dtype])[6:]}, synchronized={bool(synchronized)}"
