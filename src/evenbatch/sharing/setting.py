"""What the user says of who shares statistics, where the framework cannot tell."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evenbatch import backend
from evenbatch.errors import InvalidArgument


@dataclass(frozen=True)
class Setting:
    """What holds in a `with` block: a torch process group, a JAX axis, or nobody but this replica."""

    group: Any = None
    axis_name: str | tuple[str, ...] | None = None
    local: bool = False


_NONE = Setting()
_TOLD = {"tensorflow": "found by themselves", "jax": "named by axis_name=", "torch": "named by group="}

# The settings of the blocks that each thread is in, by its identifier, the innermost last.
_open_blocks: dict[int, list[Setting]] = {}


def current() -> Setting:
    """The setting of the innermost block that this thread is in."""
    return of_thread(threading.get_ident())


def of_thread(identifier: int) -> Setting:
    """The setting of the innermost block that a thread is in."""
    return _open_blocks.get(identifier, [_NONE])[-1]


def anywhere() -> bool:
    """Whether any thread is in a block."""
    return bool(_open_blocks)


@contextmanager
def replicas(*, group: Any = None, axis_name: str | tuple[str, ...] | None = None) -> Iterator[None]:
    """Says which replicas share statistics, for the layers that are called in the block.

    Needed only where the framework cannot tell: `tf.distribute` strategies, `keras.distribution` and the default group
    of torch are found without it. What holds is decided when a layer is called; for a compiled function, when it is
    traced.

    Args:
        group: On PyTorch, a process group of `torch.distributed.new_group` other than the default one, such as the
            ranks of one machine. This process must belong to it. Each group is left with moving statistics of its own.
        axis_name: On JAX, the name of the axis of the mesh along which `jax.shard_map` (or `jax.pmap`) divides the
            batch, or a tuple of such names.

    Raises:
        InvalidArgument: neither or both are given, one that is another framework's, a group that is none or that this
            process is not in, or no process group is initialized.

    Example:
        ```python
        @jax.jit
        @partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("batch")), out_specs=(P("batch"), P()))
        def forward(weights, x):
            with eb.replicas(axis_name="batch"):
                return model.stateless_call(*weights, x, training=True)
        ```
    """
    if (group is None) == (axis_name is None):
        received = "neither" if group is None else "both"
        raise InvalidArgument(f"replicas() must be given group= (PyTorch) or axis_name= (JAX), received {received}")
    with _open(Setting(_checked_group(group), _checked_axis_name(axis_name))):
        yield


@contextmanager
def local_statistics() -> Iterator[None]:
    """No collective in here: each layer takes, and follows, the statistics of what this replica alone sees.

    For code that one rank runs by itself, such as a probe, a check or a recalibration: a layer called in training by
    one rank alone would otherwise wait for the others until the process group's time-out. What holds is decided when a
    layer is called; for a compiled function, when it is traced.

    Replicas that train in such a block are left with moving statistics of their own, of which one set is saved.

    Example:
        ```python
        if torch.distributed.get_rank() == 0:
            with eb.local_statistics():
                model(sample, training=True)
        ```
    """
    with _open(Setting(local=True)):
        yield


@contextmanager
def _open(setting: Setting) -> Iterator[None]:
    thread = threading.get_ident()
    _open_blocks.setdefault(thread, []).append(setting)
    try:
        yield
    finally:
        _open_blocks[thread].pop()
        if not _open_blocks[thread]:
            del _open_blocks[thread]


def _checked_group(group: Any) -> Any:
    if group is None:
        return None
    _require_backend("group", "torch", "PyTorch")
    import torch.distributed as dist

    if not dist.is_available() or not dist.is_initialized():
        raise InvalidArgument(
            "group needs an initialized process group, and there is none; call torch.distributed.init_process_group() "
            "first, as a program that torchrun starts does"
        )
    if group is not dist.GroupMember.NON_GROUP_MEMBER and not isinstance(group, dist.ProcessGroup):
        raise InvalidArgument(f"group must be a process group of torch.distributed.new_group, received {group!r}")
    if group is dist.GroupMember.NON_GROUP_MEMBER or dist.get_rank(group) < 0:
        raise InvalidArgument(
            f"group must contain this process, which has rank {dist.get_rank()} and is not in it; "
            "enter the block only on the group's ranks, and eb.local_statistics() on the others"
        )
    return group


def _checked_axis_name(name: Any) -> Any:
    if name is None:
        return None
    _require_backend("axis_name", "jax", "JAX")
    if isinstance(name, str) and name:
        return name
    names = name if isinstance(name, tuple) else ()
    if names and all(isinstance(one, str) and one for one in names) and len(set(names)) == len(names):
        return names
    raise InvalidArgument(
        f"axis_name must be the name of a mesh axis or a tuple of different such names, received {name!r}; give the "
        "axis that divides the batch, such as axis_name='batch'"
    )


def _require_backend(argument: str, name: str, written: str) -> None:
    chosen = backend.chosen()
    if chosen != name:
        raise InvalidArgument(
            f"{argument} is for {written}, and Keras runs on {chosen!r}; leave it out: "
            f"there, replicas are {_TOLD[chosen]}"
        )
