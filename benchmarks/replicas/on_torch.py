"""A process a rank over gloo, as `torchrun` starts them, with `DistributedDataParallel` around the model."""

import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
import torch.distributed as dist
from arms import ARMS, DATA, IMAGE, MASK, MASKED, PARTIAL, SHAPE, Make, one_layer, resnet20
from torch.nn.parallel import DistributedDataParallel

from evenbatch.bench.tensors import labels, values


class Runner:
    is_global = ("ours, synchronized",)
    counted = "calls of torch.distributed; torch.nn.SyncBatchNorm refuses tensors of a CPU"

    def __init__(self, replicas: int) -> None:
        dist.init_process_group("gloo", timeout=timedelta(seconds=60))
        self.rank, self.replicas = dist.get_rank(), replicas

    def cost(self, make: Make) -> list[Any]:
        layer = make()
        layer.build((None, *SHAPE[1:]))
        x = torch.randn(SHAPE, requires_grad=True)
        first, _ = _counted(layer, x)
        forward, backward = _counted(layer, x)
        besides = f"in its first call {sum(first) - sum(forward)} B more" if len(first) > len(forward) else ""
        return [("", forward, backward, besides)]

    def steps(self, batch: int) -> Any:
        x, y = (self._part(one) for one in (values((batch, *IMAGE)), labels(batch)))
        calls = {}
        for name, make in ARMS.items():
            if not name.startswith("Keras, sync"):
                calls[name] = _step(resnet20(make), x, y.long())
        return calls, lambda _: dist.barrier()

    def moving(self, make: Make) -> tuple[Any, Any, Any]:
        model = one_layer(make, rate=0.0)
        ddp = DistributedDataParallel(model)
        ddp(self._part(DATA), training=True).sum().backward()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.keras"
            model.save(path)
            saved = keras.saving.load_model(path).layers[-1]
        mine = [saved.moving_mean.numpy(), saved.moving_variance.numpy()]
        return *_moving(model.layers[-1]), _gathered(mine)[0]  # rank 0 saves

    def masked(self, make: Make) -> tuple[Any, Any]:
        layer = make(momentum=0.0)
        layer.build((None, 2))
        layer(self._part(MASKED), training=True, mask=self._part(MASK))
        return _moving(layer)

    def partial(self, make: Make) -> str:
        model = one_layer(make, rate=0.0)
        ddp = DistributedDataParallel(model)
        sgd = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], 0.01)
        for part in (self._part(PARTIAL[:8]), torch.tensor(PARTIAL[8:][self.rank :])):
            sgd.zero_grad()
            ddp(part, training=True).square().sum().backward()
            sgd.step()
        gammas = _gathered(model.layers[-1].gamma.value.item())
        return f"gamma {', '.join(f'{gamma:.3g}' for gamma in gammas)}"

    def far(self, make: Make, x: Any) -> tuple[Any, Any, Any]:
        layer = make(momentum=0.0, scale=False, center=False)
        layer.build((None, x.shape[1]))
        y = np.concatenate(_gathered(layer(self._part(x), training=True).detach().numpy()))
        return y, *(parts[0] for parts in _moving(layer))

    def _part(self, batch: Any) -> Any:
        """This rank's rows."""
        return torch.tensor(np.array_split(np.asarray(batch), self.replicas)[self.rank])


def _step(model: Any, x: Any, y: Any) -> Any:
    """Momentum, with the gradients averaged over the ranks."""
    ddp = DistributedDataParallel(model)
    sgd = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], 1e-6, momentum=0.9)

    def run() -> object:
        sgd.zero_grad()
        loss = torch.nn.functional.nll_loss(torch.log(ddp(x, training=True) + 1e-7), y)
        loss.backward()
        sgd.step()
        return loss

    return run


def _counted(layer: Any, x: Any) -> tuple[list[int], list[int]]:
    """Bytes of what this rank holds after each collective, forward and backward."""
    found: list[int] = []
    gather, reduce = dist.all_gather, dist.all_reduce

    def counting_gather(parts: Any, part: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(sum(one.nbytes for one in parts))
        return gather(parts, part, *args, **kwargs)

    def counting_reduce(values: Any, *args: Any, **kwargs: Any) -> Any:
        found.append(values.nbytes)
        return reduce(values, *args, **kwargs)

    dist.all_gather, dist.all_reduce = counting_gather, counting_reduce
    try:
        y = layer(x, training=True)
        forward = len(found)
        torch.autograd.grad((y * y).sum(), [x, layer.gamma.value, layer.beta.value])
    finally:
        dist.all_gather, dist.all_reduce = gather, reduce
    return found[:forward], found[forward:]


def _gathered(mine: Any) -> list[Any]:
    everybody: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everybody, mine)
    return everybody


def _moving(layer: Any) -> tuple[Any, Any]:
    values = [weight.value.detach().numpy().copy() for weight in (layer.moving_mean, layer.moving_variance)]
    means, variances = zip(*_gathered(values), strict=True)
    return means, variances
