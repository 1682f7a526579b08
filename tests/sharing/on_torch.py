"""The cases on PyTorch: a process a rank, as `torchrun` starts them; "graph" is `torch.compile`."""

import os
import sys
from datetime import timedelta
from typing import Any

import cases
import torch
import torch.distributed as dist
from worker import inputs_of, layer_of


class Runner:
    def __init__(self, replicas: int) -> None:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", timeout=timedelta(seconds=60))
        self.rank = dist.get_rank()
        self.writes = self.rank == 0

    def end(self) -> None:
        dist.barrier()  # a rank that ends earlier can take the others down
        dist.destroy_process_group()
        sys.stdout.flush()
        os._exit(0)  # while Python ends, torch 2.13 has been seen to abort a rank that had done all its work

    def on_one(self, case: cases.Case, batch: cases.Batch) -> dict[str, Any]:
        import evenbatch as eb

        with eb.local_statistics():
            return _step(case, layer_of(case, batch), batch, slice(None))

    def on_many(self, case: cases.Case, batch: cases.Batch) -> list[dict[str, Any]]:
        mine = _step(case, layer_of(case, batch), batch, case.cuts()[self.rank])
        everybody: list[Any] = [None] * dist.get_world_size()
        dist.all_gather_object(everybody, mine)
        return everybody


def _step(case: cases.Case, layer: Any, batch: cases.Batch, cut: slice) -> dict[str, Any]:
    x = torch.tensor(batch.x[cut], requires_grad=True)
    dy, labels = torch.tensor(batch.dy[cut]), torch.tensor(batch.labels[cut])
    kwargs = {} if batch.mask is None else {"mask": torch.tensor(batch.mask[cut])}
    torch.compiler.reset()  # what it has compiled for other cases
    run = torch.compile(layer, backend="eager") if case.mode == "graph" else layer
    y = run(inputs_of(case, x, labels), training=True, **kwargs).to(x.dtype)
    weights = [v.value for v in layer.trainable_variables]
    dx, *of_weights = torch.autograd.grad((y * dy).sum(), [x, *weights], create_graph=case.penalty)
    found = {"y": y, "dx": dx}
    found |= {f"d{v.name}": dv for v, dv in zip(layer.trainable_variables, of_weights, strict=True)}
    if case.penalty:
        (found["ddx"],) = torch.autograd.grad((dx.square() * dy).sum(), [x])
    found |= {v.name: v.value for v in layer.non_trainable_variables}
    return {key: value.detach().numpy().copy() for key, value in found.items()}
