"""`python stopping.py EXAMPLE HOW SECONDS ARGUMENTS`: runs an example in which this process stops after some batches.

`HOW` is "killed", "stalled" or "never"; SECONDS is the time-out that the example gives to its framework.
"""

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

BATCHES = 5


def stop(how: str) -> None:
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "stalled":
        time.sleep(3600)


def main() -> None:
    path, how, seconds, *arguments = sys.argv[1:]
    specification = importlib.util.spec_from_file_location("example", path)
    example = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(example)
    complete = example.shares

    def shares(*given: Any) -> Iterator[Any]:
        for i, share in enumerate(complete(*given)):
            if i == BATCHES:
                print(f"stopping: {time.time():.2f}", flush=True)
                stop(how)
            yield share

    example.shares = shares
    example.TIMEOUT = timedelta(seconds=int(seconds)) if isinstance(example.TIMEOUT, timedelta) else int(seconds)
    example.main(*arguments)


if __name__ == "__main__":
    main()
