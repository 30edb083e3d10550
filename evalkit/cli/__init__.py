"""The command line. The only place where errors become messages."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Any

from evalkit.cli.program import program

__all__ = ["app", "main"]


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module 'evalkit.cli' has no attribute {name!r}")
    # Each adds its commands; late: --help stays instant.
    from evalkit.cli import batching, comparing, exporting, guiding, merging, plotting, showing, viewing  # noqa: F401
    from evalkit.cli.commands import app  # as above

    # In one order, whichever of the modules somebody imported first: that of their names, after the commands that everybody uses.
    app.registered_commands.sort(key=lambda one: ("" if one.callback is None else one.callback.__module__).removesuffix(".commands"))
    return app


def main() -> None:
    """Run the command line; ends the process."""
    if sys.argv[1:] == ["--help"] and sys.stdout is not None and _columns() >= 80:
        _help()
    from evalkit.cli.commands import CHECK_FAILED, DONE, INTERRUPTED, USAGE  # late: --help stays instant
    from evalkit.cli.terminal import complain, in_flags  # as above
    from evalkit.errors import EvalkitError  # as above

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell leaves it to what it starts in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _as_interrupt)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: PTH123, SIM115 (for the rest of the process)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal cannot show is no reason to stop
    try:
        status = sys.modules[__name__].app(standalone_mode=False)  # the exit status of a typer.Exit
        sys.stdout.flush()
    except EvalkitError as error:
        complain(f"error: {in_flags(str(error))}")
        sys.exit(USAGE)
    except KeyboardInterrupt:
        complain("interrupted")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read this has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115
        sys.exit(DONE)
    except OSError as error:
        complain(f"error: {error.filename or 'a file'}: {error.strerror or error}. What was recorded is kept")
        sys.exit(USAGE)
    except Exception as error:
        if _interrupted(error):
            complain("interrupted")
            sys.exit(INTERRUPTED)
        if hasattr(error, "exit_code") and hasattr(error, "show"):  # click's own errors of usage
            error.show()
            sys.exit(error.exit_code)
        if "--debug" in sys.argv[1:2]:
            raise
        complain(f"internal error: {type(error).__name__}: {error}")
        complain("This is a fault of evalkit; 'evalkit --debug ...' shows where. What was recorded is kept.")
        sys.exit(CHECK_FAILED)
    sys.exit(status or DONE)


def _help() -> None:
    """Print what there is; ends the process."""
    from evalkit.cli.front import HELP  # nobody else needs it

    try:
        print(HELP.format(program=program()), end="", flush=True)
    except BrokenPipeError:  # whoever read this has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 (for the rest of the process)
    sys.exit(0)


def _columns() -> int:
    """How wide standard output is; 80 where nothing tells it."""
    said = os.environ.get("COLUMNS", "")
    if said.isdecimal() and int(said):
        return int(said)
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or 80 if sys.__stdout__ is not None else 80
    except (AttributeError, ValueError, OSError):
        return 80


def _interrupted(error: BaseException) -> bool:
    """Whether an interrupt lies under an error: a library that is asked for it in the middle of its work tells it in an error of its own."""
    at: BaseException | None = error
    while at is not None:
        if isinstance(at, KeyboardInterrupt) or type(at).__name__ == "InterruptException" or str(at) == "Query interrupted":
            return True
        at = at.__cause__ or at.__context__
    return False


def _as_interrupt(number: int, frame: Any) -> None:  # noqa: ARG001 (the form of a signal handler)
    signal.raise_signal(signal.SIGINT)  # for which asyncio has an orderly way out
