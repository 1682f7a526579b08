"""`python stopping.py EXAMPLE HOW SECONDS ARGUMENTS`: runs an example, and stops in the midst of it.

HOW is "killed", "stalled" or "never"; SECONDS is the time-out that the example gives to its framework.
"""

import importlib.util
import itertools
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

BATCHES = 5  # before it stops


def loaded(path: str) -> Any:
    specification = importlib.util.spec_from_file_location(Path(path).stem, path)
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    return example


def stop(how: str) -> None:
    print(f"{how} at {time.time():.1f}", flush=True)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)


def main() -> None:
    path, how, seconds, *arguments = sys.argv[1:]
    example = loaded(path)
    complete = example.shares

    def shares(*given: Any) -> Iterator[Any]:
        found = complete(*given)
        yield from itertools.islice(found, BATCHES)
        if how != "never":
            stop(how)
        yield from found

    example.shares = shares
    example.TIMEOUT = timedelta(seconds=int(seconds)) if isinstance(example.TIMEOUT, timedelta) else int(seconds)
    example.main(*arguments)


if __name__ == "__main__":
    main()
