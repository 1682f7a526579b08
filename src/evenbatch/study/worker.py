"""The process that a trial runs in: its threads, its lock, and its end when its parent is gone."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evenbatch import files
from evenbatch.errors import EvenbatchError
from evenbatch.processes import end_with
from evenbatch.study import locks
from evenbatch.study.locks import only_writer
from evenbatch.study.spec import ArmSpec, Plan
from evenbatch.study.threads import limit_threads


@contextmanager
def environment(threads: int, backend: str) -> Iterator[None]:
    """Sets, for the processes started inside, the backend and the number of threads that each may use.

    The number of threads changes the last bits of sums, so a trial has the same number whatever runs beside it. The
    variables are read when a backend loads, which is why they are set for a process rather than in it.
    """
    count = str(threads)
    settings = {
        "KERAS_BACKEND": backend,
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"), count),
        **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), count),
        "XLA_FLAGS": " ".join([os.environ.get("XLA_FLAGS", ""), f"--xla_cpu_multi_thread_eigen={threads > 1}".lower()]),
        # Several workers share one GPU: none may take all of its memory at the start.
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run(plan: Plan, arm: ArmSpec, seed: int, folder: Path, parent: int) -> dict[str, Any]:
    """Runs one trial in this process and returns its record.

    An error of the network's own (a function of the user's that raises, memory that runs out) becomes a trial that
    failed, with its message recorded; an `EvenbatchError` concerns the whole study and is raised.
    """
    end_with(parent)
    with only_writer(folder, locks.TRIAL, locks.TRIAL_SECONDS):
        limit_threads(plan.spec.threads_of_a_process)
        from evenbatch.study import trial

        try:
            record = trial.run(plan, arm, seed, folder)
        except EvenbatchError:
            raise
        except Exception as error:
            message = "".join(traceback.format_exception_only(error)).strip().splitlines()[0][:300]
            files.write_text(folder / "traceback.txt", traceback.format_exc())
            record = trial.TrialRecord(arm=arm.name, seed=seed, outcome="failed", epochs=0, error=message)
            trial.complete(folder, record)
        return record.model_dump(mode="json")
