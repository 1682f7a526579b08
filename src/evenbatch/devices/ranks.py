"""Ranks of a torch process group on one machine: this process and one for each further device."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from evenbatch.errors import SharingFailed
from evenbatch.processes import end_with

TIME_OUT = timedelta(seconds=300)
"""How long a rank waits for the others before it gives up."""


@contextmanager
def joined(count: int, others: Callable[[], None]) -> Iterator[None]:
    """Makes this process the first of that many ranks; the others run `others`, and have ended where this ends.

    Raises:
        SharingFailed: a rank ended before its time.
    """
    with tempfile.TemporaryDirectory() as folder:
        start = multiprocessing.get_context("spawn").Process
        ranks = {
            rank: start(target=_follow, args=(rank, count, folder, others, os.getpid()), daemon=True)
            for rank in range(1, count)
        }
        _start(ranks.values())
        try:
            _await(ranks, Path(folder))
            _join_group(0, count, folder)
            yield
        except (RuntimeError, SharingFailed) as error:
            _raise_for_lost_ranks(error, ranks, Path(folder))
            if _is_of_an_exchange(error):
                raise SharingFailed(
                    f"the {count} ranks could not exchange what they have within {TIME_OUT.seconds} seconds, and none "
                    f"has ended; one of them is held up, look for what else the machine does ({error})"
                ) from error
            raise
        else:
            for process in ranks.values():
                process.join(TIME_OUT.total_seconds())
        finally:
            _end(ranks.values())


def _start(processes: Iterable[Any]) -> None:
    """Starts processes that ignore Ctrl-C from the beginning: the first rank ends, and with it the others."""
    in_main_thread = threading.current_thread() is threading.main_thread()  # the only one that may set it
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        for process in processes:
            process.start()
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, before)


def _await(ranks: dict[int, Any], folder: Path) -> None:
    """Waits until every rank is there; who waits in the process group itself hears of nothing until the time-out."""
    until = time.monotonic() + TIME_OUT.total_seconds()
    while not all((folder / f"here-{rank}").exists() for rank in ranks):
        _raise_for_lost_ranks(None, ranks, folder)
        if time.monotonic() > until:
            raise SharingFailed(f"the {len(ranks) + 1} ranks have not met within {TIME_OUT.seconds} seconds; use fewer")
        time.sleep(0.05)


def _join_group(rank: int, count: int, folder: str) -> None:
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(rank)
    meeting_place = (Path(folder) / "group").as_uri()
    dist.init_process_group("nccl" if on_gpu else "gloo", meeting_place, TIME_OUT, count, rank)


def _follow(rank: int, count: int, folder: str, others: Callable[[], None], parent: int) -> None:
    """The process of another rank."""
    if os.getppid() != parent:
        raise SystemExit(1)  # gone before this process could watch it
    end_with(parent)
    try:
        (Path(folder) / f"here-{rank}").touch()
        _join_group(rank, count, folder)
        others()
    except Exception as error:
        reason = "".join(traceback.format_exception_only(error)).strip()
        (Path(folder) / f"rank-{rank}.txt").write_text(reason, encoding="utf-8")
        raise SystemExit(1) from None


def _raise_for_lost_ranks(error: Exception | None, ranks: dict[int, Any], folder: Path) -> None:
    """Says which rank ended, and why, where one did; after a failed exchange it may take a moment to be gone."""
    multiprocessing.connection.wait([process.sentinel for process in ranks.values()], 2 if error else 0)
    # Killed ones first, whose codes are negative: the others may have ended because of them.
    for rank, process in sorted(ranks.items(), key=lambda one: one[1].exitcode or 0):
        if process.exitcode:
            told = folder / f"rank-{rank}.txt"
            reason = told.read_text(encoding="utf-8") if told.exists() else f"with exit code {process.exitcode}"
            raise SharingFailed(f"rank {rank} of {len(ranks) + 1} has ended: {reason}") from error


def _is_of_an_exchange(error: Exception) -> bool:
    """Whether it is an exchange of torch's own that failed; it has no type for that."""
    return not isinstance(error, SharingFailed) and ("gloo" in str(error) or isinstance(error, dist.DistError))


def _end(processes: Iterable[Any]) -> None:
    for process in processes:
        process.terminate()
        process.join()
    if dist.is_initialized():
        dist.destroy_process_group()
