"""Peak memory of training, by arm: the growth of a fresh process's memory in one step.

On a processor it is what the system says is resident; on a GPU what the framework's allocator counts. Each arm has
processes of its own, because freed memory stays with the process that had it, and several of them, because what is
resident depends a little on where the system placed things.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from evenbatch.bench.plan import FileCase, MemoryCase, Plan
from evenbatch.bench.spread import spread

ARMS = {MemoryCase: ("ours", "keras", "without"), FileCase: ("ours", "keras")}


def measure(plan: Plan, case: MemoryCase | FileCase, processes: int, started: Callable[[str], None]) -> dict[str, Any]:
    """Bytes of each arm over so many processes; `started` is told each before it begins."""
    found: dict[str, list[int]] = {arm: [] for arm in ARMS[type(case)]}
    errors: dict[str, str] = {}
    for number in range(1, processes + 1):
        for arm in found:
            started(f"memory, {arm}, process {number} of {processes}")
            try:
                found[arm].append(in_process(plan, case, arm))
            except (subprocess.CalledProcessError, ValueError) as error:
                errors[arm] = _reason(error)
    return {
        "arms": {arm: {"bytes": spread(values) if values else None} for arm, values in found.items()},
        "errors": errors,
    }


def in_process(plan: Plan, case: MemoryCase | FileCase, arm: str) -> int:
    """Bytes that one step of the arm takes, in a process of its own."""
    words = json.dumps([type(case).__name__, dataclasses.asdict(case), arm, plan.dtype])
    done = subprocess.run(
        [sys.executable, "-m", "evenbatch.bench.memory_worker", words],
        check=True,
        capture_output=True,
        text=True,
        env=environment(plan.backend),
    )
    return int(done.stdout.splitlines()[-1])


def environment(backend: str) -> dict[str, str]:
    """That of this process, with the backend, and with GPU memory taken as it is needed."""
    return {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def _reason(error: Exception) -> str:
    """The last line that the process left, or how it ended."""
    lines = (getattr(error, "stderr", None) or "").strip().splitlines()
    return lines[-1][:300] if lines else str(error)
