"""One trial: one arm with one seed, from initial weights to a recorded outcome.

A trial's folder holds `checkpoint.npz` and `progress.json` while it runs. It ends with `history.csv`, `probes.csv`,
`model.keras` and, last of all, `trial.json`: where that file is, the trial is complete.
"""

import functools
import hashlib
import math
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import keras
from pydantic import BaseModel, ConfigDict

from evenbatch import devices, files
from evenbatch.callbacks import EpochCallback, Row
from evenbatch.datasets import Part
from evenbatch.devices import Team
from evenbatch.probes.variance_shift import variance_shift
from evenbatch.sharing import local_statistics
from evenbatch.study import checkpoint, initial_weights
from evenbatch.study.batches import batches
from evenbatch.study.network import built
from evenbatch.study.progress import NAME as PROGRESS
from evenbatch.study.progress import Progress
from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.threads import limit_threads

EVALUATION_BATCH = 1024  # inference does not depend on the batch, so validation runs in large ones
PROBED_EXAMPLES = 2000


class Timing(BaseModel):
    """Seconds; what is left out when two runs of a study are compared."""

    model_config = ConfigDict(frozen=True)

    step_seconds: float | None
    train_seconds: float
    trial_seconds: float


class TrialRecord(BaseModel):
    """The content of `trial.json`."""

    model_config = ConfigDict(frozen=True)

    arm: str
    seed: int
    outcome: Literal["finished", "diverged", "failed"]
    epochs: int
    error: str | None = None
    parameters: int | None = None
    test: dict[str, float | None] | None = None
    initial_weights: dict[str, str] = {}
    device: str | None = None
    timing: Timing | None = None


def run(
    plan: Plan,
    arm: ArmSpec,
    seed: int,
    folder: Path,
    *,
    callbacks: Sequence[Any] = (),
    on_row: Callable[[Row], None] | None = None,
) -> TrialRecord:
    """Trains one trial, from its checkpoint where there is one, and writes its files.

    Raises:
        EvenbatchError: the study's arguments do not fit its network, or a file could not be written.
    """
    keras.utils.clear_session(free_memory=False)  # not in a strategy's scope, which it would end
    team = devices.team(plan.spec.devices)
    with team.together(functools.partial(follow, plan, arm, seed, folder)):
        return _run(plan, arm, seed, folder, team, callbacks, on_row or (lambda row: None))


def follow(plan: Plan, arm: ArmSpec, seed: int, folder: Path) -> None:
    """The same training on another rank, which writes nothing."""
    limit_threads(plan.spec.threads_of_a_process)
    team = devices.team(plan.spec.devices)
    with team.building():
        model = prepare(plan, arm, seed)
    _fit(plan, model, seed, folder, team, [], lambda row: None)


def _run(
    plan: Plan,
    arm: ArmSpec,
    seed: int,
    folder: Path,
    team: Team,
    callbacks: Sequence[Any],
    on_row: Callable[[Row], None],
) -> TrialRecord:
    started = time.perf_counter()
    with team.building():
        model = prepare(plan, arm, seed)
    digests = initial_weights.digests(model)
    rows = _fit(plan, model, seed, folder, team, callbacks, on_row)
    diverged = not _finite(rows[-1])
    test = None if plan.dataset.test is None or diverged else _evaluate(model, plan.dataset.test)
    files.write_csv(folder / "history.csv", rows)
    files.write_whole(folder / "model.keras", model.save)
    with local_statistics():  # the other ranks, where there are some, have ended
        probed = [] if diverged else variance_shift(model, plan.dataset.train.x[:PROBED_EXAMPLES])
    if probed:
        files.write_csv(folder / "probes.csv", probed)
    record = TrialRecord(
        arm=arm.name,
        seed=seed,
        outcome="diverged" if diverged else "finished",
        epochs=len(rows),
        parameters=int(model.count_params()),
        test=test,
        initial_weights=digests,
        device=_device(plan.spec.devices),
        timing=_timing(rows, plan.spec.steps_per_epoch, time.perf_counter() - started),
    )
    complete(folder, record)
    return record


def prepare(plan: Plan, arm: ArmSpec, seed: int) -> Any:
    """The compiled model of a trial, with its initial weights."""
    keras.utils.set_random_seed(seed)
    spec = plan.spec
    model = plan.build(spec.data.input_shape, spec.data.classes, plan.normalize[arm.name], **spec.options)
    model = built(model, plan.dataset)
    initial_weights.draw(model, seed, arm.initial_scale)
    model.compile(
        optimizer=_optimizer(spec.optimizer, arm.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def complete(folder: Path, record: TrialRecord) -> None:
    """Writes `trial.json`, which makes the trial complete, and removes what only a running trial needs."""
    files.write_json(folder / "trial.json", record.model_dump(mode="json"))
    for name in ("checkpoint.npz", PROGRESS, *(["traceback.txt"] if record.outcome != "failed" else [])):
        (folder / name).unlink(missing_ok=True)


def _fit(
    plan: Plan,
    model: Any,
    seed: int,
    folder: Path,
    team: Team,
    callbacks: Sequence[Any],
    on_row: Callable[[Row], None],
) -> list[Row]:
    spec = plan.spec
    saved = folder / "checkpoint.npz"
    with team.building():
        rows = checkpoint.restore(saved, model)
    progress, cadence = Progress(folder), checkpoint.Cadence()

    def on_epoch(row: Row) -> bool:
        row = _without_hollow_accuracy(row)
        rows.append(row)
        on_row(row)
        if team.leads:
            progress(len(rows))
            if len(rows) < spec.epochs and _finite(row) and cadence.due():
                cadence.spend(lambda: checkpoint.save(saved, model, rows))
        return _finite(row)

    epochs = range(len(rows), spec.epochs)
    feed = batches(plan.dataset.train, spec.batch_size, seed, epochs, team.placed)

    def on_begin(epoch: int) -> None:
        feed.begin(epoch)
        _seed_framework(seed, epoch)

    team.fit(
        model,
        **feed.arguments,
        validation_data=(plan.dataset.val.x, plan.dataset.val.y),
        validation_batch_size=EVALUATION_BATCH,
        epochs=epochs.stop,
        initial_epoch=epochs.start,
        shuffle=False,
        verbose=0,
        callbacks=[EpochCallback(on_begin, on_epoch), *callbacks],
    )
    return rows


def _seed_framework(seed: int, epoch: int) -> None:
    """Makes what draws from the framework's own random state, too, depend on (seed, epoch) alone."""
    if keras.backend.backend() == "torch":  # dropout without a seed of its own draws from it, and so do data loaders
        import torch

        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}/{epoch}".encode()).digest()[:7], "big"))


def _optimizer(name: str, learning_rate: float) -> Any:
    if name == "adam":
        return keras.optimizers.Adam(learning_rate)
    return keras.optimizers.SGD(learning_rate, momentum=0.9 if name == "momentum" else 0.0)


def _finite(row: Row) -> bool:
    return all(math.isfinite(value) for value in row.values())


def _without_hollow_accuracy(row: Row) -> Row:
    """A diverged epoch has no accuracy: of outputs that are no numbers Keras' metric takes class 0."""
    if _finite(row):
        return row
    return {name: math.nan if name.endswith("accuracy") else value for name, value in row.items()}


def _evaluate(model: Any, part: Part) -> dict[str, float | None]:
    found = model.evaluate(part.x, part.y, batch_size=EVALUATION_BATCH, verbose=0, return_dict=True)
    return {name: float(value) for name, value in found.items()}


def _timing(rows: Sequence[Row], steps: int, seconds: float) -> Timing:
    later = [float(row["seconds"]) for row in rows[1:]]  # the first epoch pays for tracing
    return Timing(
        step_seconds=median(later) / steps if later else None,
        train_seconds=sum(float(row["seconds"]) for row in rows),
        trial_seconds=seconds,
    )


def _device(count: int) -> str:
    kind = _kind_of_device()
    name = f"{kind} ({platform.machine()})" if kind.lower() == "cpu" else kind
    return f"{count} × {name}" if count > 1 else name


def _kind_of_device() -> str:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if keras.backend.backend() == "jax":
        import jax

        return str(jax.devices()[0].device_kind)
    import torch

    return str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "CPU"
