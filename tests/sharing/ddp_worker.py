"""`ddp_worker.py RANKS FILE`: gradients of a model under DDP, and of the same model in one process.

The first micro-batch of a step is computed under `no_sync()`, and the last rank sees none of the second.
"""

import os
import sys
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import keras
import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import evenbatch as eb

SPLITS = {1: ((12, 7),), 2: ((7, 7), (5, 0)), 4: ((3, 4), (0, 3), (6, 0), (3, 0))}  # rows a rank: first, second


def network() -> Any:
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, use_bias=False),
            eb.BatchNormalization(momentum=0.5),
            keras.layers.Activation("silu"),
            keras.layers.Dense(3),
        ]
    )


def batches() -> Any:
    rng = np.random.default_rng(3)
    return [(rng.normal(2, 3, (rows, 6)).astype("float32"), rng.integers(0, 3, rows)) for rows in SPLITS[1][0]]


def accumulated(model: Any, ranks: int, rank: int) -> list[Any]:
    """The gradients after both micro-batches, and the moving statistics."""
    replica = DistributedDataParallel(model) if ranks > 1 else model
    for i, (x, y) in enumerate(batches()):
        end = sum(SPLITS[ranks][other][i] for other in range(rank + 1))
        mine = slice(end - SPLITS[ranks][rank][i], end)
        with replica.no_sync() if ranks > 1 and i == 0 else nullcontext():
            logits = replica(torch.tensor(x[mine]), training=True)
            total = torch.nn.functional.cross_entropy(logits, torch.tensor(y[mine]), reduction="sum")
            (total * ranks / len(x)).backward()
    found = [v.value.grad for v in model.trainable_variables] + [v.value for v in model.non_trainable_variables]
    return [value.detach().numpy().copy() for value in found]


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    ranks, rank = dist.get_world_size(), dist.get_rank()
    of_all: list[Any] = [None] * ranks
    dist.all_gather_object(of_all, accumulated(network(), ranks, rank))
    if rank == 0:
        with eb.local_statistics():
            of_all.append(accumulated(network(), 1, 0))
        np.savez(sys.argv[2], **{f"{i}/{j}": value for i, one in enumerate(of_all) for j, value in enumerate(one)})
    dist.barrier()  # as in on_torch.py
    dist.destroy_process_group()
    os._exit(0)


if __name__ == "__main__":
    main()
