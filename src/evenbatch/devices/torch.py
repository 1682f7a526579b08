"""Ranks of a torch process group under DistributedDataParallel, and the loop that trains them.

Keras' `fit` shares nothing among ranks on PyTorch, so the loop is here, in the open, and meant to be copied.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import keras
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from evenbatch.callbacks import told
from evenbatch.devices import ranks
from evenbatch.devices.team import Team, require_gpus


def prepare(count: int) -> None:
    """Nothing to divide: each rank is a process."""
    if torch.cuda.is_available():
        require_gpus(count, torch.cuda.device_count())


def team(count: int) -> Team:
    """The ranks, of which this process is the first unless it was started as another."""
    return _Ranks(count)


class _Ranks(Team):
    """The ranks of a process group."""

    def __init__(self, count: int) -> None:
        self._count = count

    @property
    def leads(self) -> bool:  # type: ignore[override]
        """Whether this is rank 0."""
        return not dist.is_initialized() or dist.get_rank() == 0

    def together(self, others: Callable[[], None]) -> AbstractContextManager[None]:
        """Starts the other ranks, joins them in a process group, and ends them."""
        return ranks.joined(self._count, others)

    def fit(self, model: Any, **arguments: Any) -> None:
        """Keras' `fit`, for a group of ranks."""
        fit(model, **arguments)


def fit(
    model: Any,
    x: keras.utils.PyDataset,
    epochs: int,
    initial_epoch: int,
    callbacks: list[Any],
    validation_data: tuple[Any, Any] | None = None,
    validation_batch_size: int = 0,
    **_: Any,
) -> None:
    """The training loop of one rank: of every global batch it takes its rows, the gradients are those of all."""
    calls = told(callbacks, model)
    has_own_step = type(model).train_step is not keras.Model.train_step
    epoch_of = _OwnStep(model) if has_own_step else _Classification(model)
    calls.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        calls.on_epoch_begin(epoch)
        epoch_of.begin()
        for step in range(len(x)):
            calls.on_train_batch_begin(step)
            epoch_of.step(x[step])
            calls.on_train_batch_end(step)
        logs = epoch_of.logs()
        if validation_data is not None:
            calls.on_test_begin()
            found = _validate(model, *validation_data, validation_batch_size)
            logs |= {f"val_{name}": value for name, value in found.items()}
            calls.on_test_end()
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    calls.on_train_end()


class _Classification:
    """Epochs of a model that is compiled with a loss."""

    def __init__(self, model: Any) -> None:
        self._model, self._replicated = model, DistributedDataParallel(model)

    def begin(self) -> None:
        self._seen = _Seen()

    def step(self, batch: Any) -> None:
        self._seen.add(*_train_step(self._model, self._replicated, *batch))

    def logs(self) -> dict[str, float]:
        return self._seen.means()


class _OwnStep:
    """Epochs of a model with a `train_step` that exchanges gradients by itself; batches divide evenly."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def begin(self) -> None:
        self._model.reset_metrics()

    def step(self, batch: Any) -> None:
        mine = _share(len(keras.tree.flatten(batch)[0]))
        self._model.train_step(keras.tree.map_structure(lambda all_: keras.ops.convert_to_tensor(all_[mine]), batch))

    def logs(self) -> dict[str, float]:
        """The mean over ranks of what each has."""
        names = [metric.name for metric in self._model.metrics]
        sums = keras.ops.convert_to_tensor([float(metric.result()) for metric in self._model.metrics], "float64")
        dist.all_reduce(sums)
        return dict(zip(names, (sums / dist.get_world_size()).tolist(), strict=True))


def _train_step(model: Any, replicated: Any, x: Any, y: Any) -> tuple[Any, Any, int]:
    """One step on this rank's rows of a global batch, of which there may be none."""
    mine, world = _share(len(y)), dist.get_world_size()
    outputs, losses = _forward(replicated, model, x[mine], y[mine], training=True)
    penalty = sum(model.losses)
    # DistributedDataParallel takes the mean over ranks. So each gives its part of the global mean as often as there are
    # ranks, whatever its share of the rows, and the penalty, which all have in common, once.
    loss = losses.sum() * (world / len(y)) + penalty
    model.zero_grad()
    loss.backward()
    with torch.no_grad():
        model.optimizer.apply([weight.value.grad for weight in model.trainable_weights], model.trainable_weights)
    return _loss_and_hits(losses, penalty, outputs, y[mine])


def _forward(call: Any, model: Any, x: Any, y: Any, training: bool) -> tuple[Any, Any]:
    outputs = call(keras.ops.convert_to_tensor(x), training=training)
    return outputs, keras.losses.get(model.loss)(keras.ops.convert_to_tensor(y), outputs)


def _loss_and_hits(losses: Any, penalty: Any, outputs: Any, y: Any) -> tuple[Any, Any, int]:
    hits = (outputs.argmax(-1) == torch.as_tensor(y, device=outputs.device)).sum()
    return losses.detach().sum() + len(y) * float(penalty), hits, len(y)


def _validate(model: Any, x: Any, y: Any, batch_size: int) -> dict[str, float]:
    """Loss and accuracy of all rows; each rank takes its part of them."""
    mine, seen = _share(len(y)), _Seen()
    for start in range(mine.start, mine.stop, batch_size):
        rows = slice(start, min(start + batch_size, mine.stop))
        with torch.no_grad():
            outputs, losses = _forward(model, model, x[rows], y[rows], training=False)
        seen.add(*_loss_and_hits(losses, sum(model.losses), outputs, y[rows]))
    return seen.means()


class _Seen:
    """Sums over the examples that this rank has seen, and at last the means over those of all ranks."""

    def __init__(self) -> None:
        self._sums = torch.zeros(3, dtype=torch.float64)

    def add(self, loss: Any, hits: Any, examples: int) -> None:
        self._sums += torch.tensor([float(loss), float(hits), examples], dtype=torch.float64)

    def means(self) -> dict[str, float]:
        sums = keras.ops.convert_to_tensor(self._sums)
        dist.all_reduce(sums)
        loss, hits, examples = sums.tolist()
        return {"accuracy": hits / examples, "loss": loss / examples}


def _share(rows: int) -> slice:
    """This rank's rows of that many."""
    rank, world = dist.get_rank(), dist.get_world_size()
    return slice(rows * rank // world, rows * (rank + 1) // world)
