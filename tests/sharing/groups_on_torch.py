"""Process groups of the user's own, ranks that differ, a rank by itself; rank 0 prints JSON."""

import json
import os
import sys
from datetime import timedelta

import keras
import numpy as np
import torch
import torch.distributed as dist
from torch.utils.checkpoint import checkpoint

import evenbatch as eb
from evenbatch.errors import InvalidArgument, SharingFailed

torch.set_num_threads(1)
dist.init_process_group("gloo", timeout=timedelta(seconds=20))
rank = dist.get_rank()
rows = np.arange(4, dtype="float32")[:, None] + 10 * rank


def refused(run):
    try:
        run()
    except (SharingFailed, InvalidArgument) as error:
        return str(error)
    return "nothing"


def moving_mean(layer, x):
    layer(x, training=True)
    return float(keras.ops.convert_to_numpy(layer.moving_mean)[0])


def in_a_group():
    """The mean of each rank, where ranks 0 and 1 share and 2 and 3 do."""
    with eb.replicas(group=pairs[rank // 2]):
        return moving_mean(eb.BatchNormalization(momentum=0.0), rows)


def in_no_group():
    first = dist.new_group([0])
    with eb.replicas(group=first):
        return


def by_itself():
    """Rank 0 runs a probe; the others are not there."""
    if rank:
        return 0.0
    with eb.local_statistics():
        return moving_mean(eb.BatchNormalization(momentum=0.0), rows)


def differing(**arguments):
    channels = arguments.pop("channels", 1)
    layer = eb.BatchNormalization(**arguments)
    return refused(lambda: layer(np.ones((4, channels), arguments.get("dtype", "float32")), training=True))


def in_another_group():
    """The layer meets its ranks again in another process group."""
    layer = eb.BatchNormalization(momentum=0.0)
    moving_mean(layer, rows)
    with eb.replicas(group=dist.new_group()):
        return moving_mean(layer, rows + 1)


def gradient(call):
    """The gradient of a layer's inputs, where ranks 0 and 1 share and 2 and 3 do; backward is out of the block."""
    x = torch.tensor(np.random.default_rng(rank).normal(size=(6, 2)), dtype=torch.float32, requires_grad=True)
    layer = eb.BatchNormalization()
    layer.build((None, 2))
    with eb.replicas(group=pairs[rank // 2]):
        y = call(lambda inputs: layer(inputs, training=True), x)
    (y**3).sum().backward()
    return x.grad.tolist()


def exchanges():
    """How often a layer that has met its group calls on it, forward and backward."""
    layer, calls = eb.BatchNormalization(), []
    x = torch.tensor(rows, requires_grad=True)
    layer(x, training=True)
    real = {name: getattr(dist, name) for name in ("all_gather", "all_reduce")}
    for name, function in real.items():
        setattr(dist, name, lambda *a, name=name, function=function, **k: calls.append(name) or function(*a, **k))
    y = layer(x, training=True)
    forward = len(calls)
    (y**3).sum().backward()
    for name, function in real.items():
        setattr(dist, name, function)
    return [forward, len(calls) - forward]


pairs = [dist.new_group([0, 1]), dist.new_group([2, 3])]
mine = {
    "not checkpointed": gradient(lambda layer, x: layer(x)),
    "checkpointed": gradient(lambda layer, x: checkpoint(layer, x, use_reentrant=False)),
    "checkpointed, reentrant": gradient(lambda layer, x: checkpoint(layer, x, use_reentrant=True)),
    "everybody": moving_mean(eb.BatchNormalization(momentum=0.0), rows),
    "pairs": in_a_group(),
    "exchanges": exchanges(),
    "by itself": by_itself(),
    "in no group": refused(in_no_group),
    "no group": refused(lambda: eb.replicas(group="mine").__enter__()),
    "channels": differing(channels=2 if rank == 1 else 3),
    "dtype": differing(dtype="float64" if rank == 1 else "float32"),
    "synchronized": differing(synchronized=rank != 1),
    "another group": in_another_group(),
}
everybody = [None] * dist.get_world_size()
dist.all_gather_object(everybody, mine)
if rank == 0:
    print("FOUND" + json.dumps(everybody))
dist.destroy_process_group()
sys.stdout.flush()
os._exit(0)  # as in on_torch.py
