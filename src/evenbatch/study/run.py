"""Runs the trials of a plan in worker processes until all are complete."""

import os
import pickle
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Protocol

from evenbatch import files
from evenbatch.errors import EvenbatchError, InvalidArgument, StudyFailed, require_count
from evenbatch.study import locks, store, worker
from evenbatch.study.judging import with_judge
from evenbatch.study.locks import only_writer
from evenbatch.study.spec import ArmSpec, Plan


class Watcher(Protocol):
    """Whoever is told how a study goes on."""

    def note(self, text: str) -> None:
        """Something that takes a while begins, before the study does."""

    def begin(self, plan: Plan, folder: Path, done: int) -> None:
        """The study begins; `done` trials were complete before."""

    def trial(self, record: dict[str, Any]) -> None:
        """A trial is complete."""

    def end(self) -> None:
        """The study ends, complete or not."""


class Silent:
    """Watches nothing."""

    def note(self, text: str) -> None:
        """Says nothing."""

    def begin(self, plan: Plan, folder: Path, done: int) -> None:
        """Says nothing."""

    def trial(self, record: dict[str, Any]) -> None:
        """Says nothing."""

    def end(self) -> None:
        """Says nothing."""


def run(plan: Plan, folder: Path, *, jobs: int | None, force: bool, watcher: Watcher, record: dict[str, Any]) -> None:
    """Runs every trial that is not complete yet.

    Raises:
        StudyConflict: the folder holds another study or other files, or another process writes to it.
        StorageError: a file could not be written.
        StudyFailed: every trial failed.
    """
    if jobs is not None:
        require_count("jobs", jobs)
    with only_writer(folder, locks.STUDY):
        store.require_free_or_same(folder, plan.spec, force=force)
        if force or not _is_complete(folder, plan):
            plan = with_judge(plan, watcher)
        store.claim(folder, plan.spec, record, force=force)
        store.clear_scratch(folder)
        todo = [(arm, seed) for arm, seed in plan.spec.trials() if not store.is_complete(folder, arm.name, seed)]
        watcher.begin(plan, folder, len(plan.spec.trials()) - len(todo))
        try:
            _run_all(plan, folder, todo, jobs or _default_jobs(plan, len(todo)), watcher)
        finally:
            watcher.end()
            store.clear_scratch(folder)
        _require_one_success(folder, plan)


def _is_complete(folder: Path, plan: Plan) -> bool:
    return all(store.is_complete(folder, arm.name, seed) for arm, seed in plan.spec.trials())


def _run_all(plan: Plan, folder: Path, todo: list[tuple[ArmSpec, int]], jobs: int, watcher: Watcher) -> None:
    if not todo:
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    start = joblib.delayed(worker.run)
    here = folder.absolute()  # loky's workers may be older than the current directory
    calls = (start(plan, arm, seed, store.trial_folder(here, arm.name, seed), os.getpid()) for arm, seed in todo)
    # At least two processes with `jobs` trials under way: with one, joblib would run trials in this process, whose
    # backend may be loaded already, with another number of threads.
    pool = joblib.Parallel(
        n_jobs=max(jobs, 2),
        pre_dispatch=jobs,
        batch_size=1,
        return_as="generator_unordered",
        max_nbytes="1M",
        temp_folder=store.scratch(folder),
    )
    with worker.environment(plan.spec.threads, plan.spec.backend):
        try:
            for record in pool(calls):
                watcher.trial(record)
        except pickle.PicklingError as error:
            raise _not_sent(folder, error) from error
        except TerminatedWorkerError as error:
            raise StudyFailed(
                "a worker process was killed, most likely for want of memory; choose fewer --jobs or a smaller batch "
                f"and run the same command again, it goes on where it was ({str(error).splitlines()[0]})"
            ) from error


def _not_sent(folder: Path, error: pickle.PicklingError) -> EvenbatchError:
    """The sentence for a task that did not reach its process; joblib hands its cause on as the text of a traceback."""
    reason = (str(error.__cause__).strip(' \n"') or str(error)).splitlines()[-1]
    storage = re.match(r"OSError: \[Errno (\d+)\] (.*)", reason)
    if storage:
        return files.storage_error(store.scratch(folder), OSError(int(storage[1]), storage[2]))
    return InvalidArgument(
        f"recipe and arms must be functions that can be sent to another process, and are not: {reason}"
    )


def _default_jobs(plan: Plan, trials: int) -> int:
    return max(1, min((os.cpu_count() or 1) // plan.spec.threads, trials))


def _require_one_success(folder: Path, plan: Plan) -> None:
    records = [store.read_trial(folder, arm.name, seed) for arm, seed in plan.spec.trials()]
    if all(record["outcome"] == "failed" for record in records):
        first = store.trial_folder(folder, records[0]["arm"], records[0]["seed"]) / "traceback.txt"
        raise StudyFailed(f"every trial failed, the first with: {records[0]['error']}; its traceback is in {first}")


def provenance() -> dict[str, Any]:
    """Where a study came from: its command line, the commit of the working directory, and when it began."""
    return {
        "command": " ".join([_program(), shlex.join(sys.argv[1:])]).strip(),
        "git": _commit(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _program() -> str:
    """The command itself, or the script that called `eb.compare`."""
    path = Path(sys.argv[0])
    is_the_command = path.stem == "evenbatch" or path.parts[-2:] == ("evenbatch", "__main__.py")
    return "evenbatch" if is_the_command else f"python {path.name}".strip()


def _commit() -> str | None:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None  # no git here, or no repository
