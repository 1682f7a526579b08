"""Memory of this process as the system sees it: what is resident, and the most that was."""

import resource
import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def start() -> int:
    """Bytes resident now, from which the peak is counted; forgets an earlier peak where the system can.

    Linux can, so loading libraries hides nothing. Elsewhere this is the peak so far: growth below it is not seen.
    """
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return peak()
    return _status("VmRSS")


def peak() -> int:
    """The most bytes that were resident."""
    if _STATUS.exists():
        return _status("VmHWM")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def _status(field: str) -> int:
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])
