"""Starts the processes of an example on loopback, as a reader starts them on machines, and waits for none for long."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "several_machines"


class Process:
    """A process of an example, which writes into a file what it prints."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("w") as file:
            self._process = subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    def code(self, seconds: float) -> int:
        """Its exit code; it must end within that many seconds."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"has not ended after {seconds} seconds:\n{self.printed[-4000:]}") from None

    def seconds_until(self, text: str, at_most: float) -> float:
        """After how many seconds it has printed that."""
        start = time.monotonic()
        while text not in self.printed:
            assert self._process.poll() is None, self.printed[-4000:]
            assert time.monotonic() < start + at_most, f"no {text!r} in:\n{self.printed[-4000:]}"
            time.sleep(0.05)
        return time.monotonic() - start

    def end(self) -> None:
        """Ends it with all that it has started: torchrun on SIGTERM, JAX, which puts that off, on SIGKILL."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(3)


@contextmanager
def processes(backend: str, paths: list[Path], stops: tuple[str, int] | None = None) -> Iterator[list[Process]]:
    """The backend's example in as many processes as there are paths to save at. None of them outlives the block.

    With `stops`, the last one stops in this way ("killed", "stalled") after some batches, and all give that many
    seconds to their framework as the time-out.
    """
    ports, started = free_ports(len(paths)), []
    try:
        for i, path in enumerate(paths):
            how = () if stops is None else (stops[0] if path == paths[-1] else "never", str(stops[1]))
            command, environment = COMMANDS[backend](i, ports, str(path), how)
            started.append(Process(command, {"OMP_NUM_THREADS": "1", **environment}, path.with_suffix(".log")))
        yield started
    finally:
        for one in started:
            one.end()


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]


def on_torch(i: int, ports: list[int], path: str, how: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    if how:  # without torchrun, which would end the other process itself
        place = {"RANK": str(i), "LOCAL_RANK": "0", "WORLD_SIZE": str(len(ports))}
        place |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(ports[0])}
        return [sys.executable, *_script("torch", how), path], place
    place = f"--nnodes {len(ports)} --node-rank {i} --nproc-per-node 1 --master-addr localhost --master-port {ports[0]}"
    return [sys.executable, "-m", "torch.distributed.run", *place.split(), *_script("torch"), path], {}


def on_jax(i: int, ports: list[int], path: str, how: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    place = [f"localhost:{ports[0]}", str(len(ports)), str(i)]
    return [sys.executable, *_script("jax", how), *place, path], {"XLA_FLAGS": ""}  # one device a process


def on_tensorflow(i: int, ports: list[int], path: str, how: tuple[str, ...]) -> tuple[list[str], dict[str, str]]:
    workers = [f"localhost:{port}" for port in ports]
    place = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}
    return [sys.executable, *_script("tensorflow", how), path], {"TF_CONFIG": json.dumps(place)}


def _script(backend: str, how: tuple[str, ...] = ()) -> list[str]:
    example = str(EXAMPLES / f"on_{backend}.py")
    return [str(HERE / "stopping.py"), example, *how] if how else [example]


COMMANDS = {"torch": on_torch, "jax": on_jax, "tensorflow": on_tensorflow}
