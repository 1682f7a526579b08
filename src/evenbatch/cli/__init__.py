"""The command `evenbatch`: a thin shell that parses, calls the library once, renders and sets the exit code.

Exit codes: 0 done, 1 done but some trials failed, 2 bad input or a file that could not be written, 130 stopped by the
user.
"""

import io
import sys

from evenbatch.errors import EvenbatchError, MissingExtra


def main() -> None:
    """Runs the command line and ends the process with its exit code."""
    sys.exit(_run())


def _run() -> int:
    from evenbatch.cli.quiet import backend_notices_aside

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × still gets its table
    with backend_notices_aside():
        try:
            _app()
        except EvenbatchError as error:
            sys.stderr.write(f"Error: {error}\n")
            return 2
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def _app() -> None:
    try:
        from evenbatch.cli.app import app
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the command line needs {error.name!r}, which is not installed: pip install 'evenbatch[lab]'"
        ) from error
    app()
