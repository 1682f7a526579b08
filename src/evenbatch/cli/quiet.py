"""Keeps the notices that a backend's native code prints while it loads out of the user's terminal.

TensorFlow writes a dozen lines straight to file descriptor 2, and no variable silences all of them. Here that
descriptor goes to a file, for this process and the workers it starts, while Python's own standard error stays the
terminal. Whoever sets `TF_CPP_MIN_LOG_LEVEL` wants to see them and does.
"""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def backend_notices_aside() -> Iterator[None]:
    """Moves descriptor 2 aside; where the block ends in an unexpected error, prints the end of what went there."""
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    with tempfile.TemporaryFile() as aside:
        terminal, before = os.dup(2), sys.stderr
        sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=before.encoding, errors="backslashreplace")
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:
            aside.seek(max(0, aside.tell() - 4000))
            sys.stderr.write(aside.read().decode(errors="replace"))
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            sys.stderr.close()
            sys.stderr = before
