"""The judge of a study of GANs: trained before the first trial, so that its hash is part of the specification."""

import os
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from evenbatch.datasets import Dataset
from evenbatch.processes import end_with
from evenbatch.study import worker
from evenbatch.study.progress import Progress, epochs_done
from evenbatch.study.spec import Plan

THREADS = 1  # always the same, so that the same data give the same judge
SECONDS = 10.0
"""From one note on how far the training of a judge is to the next."""


class Watcher(Protocol):
    """Whoever is told."""

    def note(self, text: str) -> None:
        """Something that takes a while begins, or goes on."""


def with_judge(plan: Plan, watcher: Watcher) -> Plan:
    """The plan with the judge of its data, from the cache or trained now; a plan of another task as it is.

    Args:
        plan: The plan.
        watcher: Is told what takes a while.
    """
    if plan.spec.adversarial is None:
        return plan
    watcher.note(
        f"Looking for the judge of {plan.dataset.name}; where there is none yet, it is trained, once for this data set"
    )
    with tempfile.TemporaryDirectory() as folder, _noting(Path(folder), watcher):
        judge, said = _in_a_process_of_its_own(plan, Path(folder))
    for text in said:
        watcher.note(text)
    settings = plan.spec.adversarial.model_copy(update={"judge": judge.sha256})
    return replace(plan, spec=plan.spec.model_copy(update={"adversarial": settings}), judge=judge)


def _in_a_process_of_its_own(plan: Plan, folder: Path) -> Any:
    import joblib

    call = joblib.delayed(_judge)(plan.dataset, folder, os.getpid())
    with worker.environment(THREADS, plan.spec.backend):
        # With one process, joblib would train it in this one, whose backend may have another number of threads.
        return joblib.Parallel(n_jobs=2)([call])[0]


def _judge(dataset: Dataset, folder: Path, parent: int) -> tuple[Any, list[str]]:
    """The judge, and what was said of it."""
    end_with(parent)
    from evenbatch.gan.yardstick import judge_for
    from evenbatch.study.threads import limit_threads

    limit_threads(THREADS)
    progress = Progress(folder)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        judge = judge_for(dataset, on_step=lambda done, steps: progress(100 * done // steps))
    return judge, [str(warning.message) for warning in said if "judge" in str(warning.message)]


@contextmanager
def _noting(folder: Path, watcher: Watcher) -> Iterator[None]:
    """Notes from time to time how far the training in another process is, in percent."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SECONDS):
            if percent := epochs_done(folder):
                watcher.note(f"  training the judge: {percent} %")

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
