"""A Python that has imported what the command line may need, and forks a process for each command: the start of a command costs nothing then.

Run by `support.process.Commands`; the first argument is the socket to talk on. A request is a line of JSON; its answer is the exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import threading
from pathlib import Path
from typing import Any

HEAVY = (
    "aiohttp",
    "duckdb",
    "jinja2",
    "matplotlib.figure",
    "pandas",
    "regex",
    "rich.console",
    "scipy.optimize",
    "scipy.special",
    "scipy.stats",
    "yaml",
)


def imported() -> None:
    """Import all of evalkit, and what it imports where it needs it."""
    import evalkit

    for module in pkgutil.walk_packages(evalkit.__path__, "evalkit."):
        if module.name != "evalkit.__main__":
            importlib.import_module(module.name)
    for name in HEAVY:
        importlib.import_module(name)


def become(request: dict[str, Any]) -> None:
    """Make of this process, just forked, what the command was started as: its folder, variables, files and arguments."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, (name, way) in enumerate((("/dev/null", os.O_RDONLY), (request["stdout"], os.O_WRONLY), (request["stderr"], os.O_WRONLY))):
        file = os.open(name, way)
        os.dup2(file, number)
        os.close(file)
    sys.argv = [request["script"] or "-m", *request["arguments"]]
    sys.path[0] = str(Path(request["script"]).parent) if request["script"] else request["cwd"]


def ended(fault: BaseException | None) -> int:
    """End as Python does, but for taking apart what was imported, which takes a second; the exit status."""
    status = 0
    if isinstance(fault, SystemExit):
        status = fault.code if isinstance(fault.code, int) else int(fault.code is not None)
        if isinstance(fault.code, str):
            print(fault.code, file=sys.stderr)
    elif fault is not None:
        sys.excepthook(type(fault), fault, fault.__traceback__)
        status = 1
    del fault
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
    atexit._run_exitfuncs()
    gc.collect()  # what was left open, or never awaited, is told
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    """Fork for each request, until the other end closes; that process goes on as ``python -m evalkit``, or as the script asked for."""
    with socket.socket(fileno=int(sys.argv[1])) as wire:
        imported()
        gc.collect()
        gc.freeze()  # what is imported is shared by all, and is not looked through again
        with wire.makefile("r", encoding="utf-8") as requests:
            for line in requests:
                child = os.fork()
                if child == 0:
                    request = json.loads(line)
                    break
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                wire.sendall(f"{status}\n".encode())
            else:
                return
    become(request)
    fault: BaseException | None = None
    try:
        if request["script"]:
            runpy.run_path(request["script"], run_name="__main__")
        else:
            runpy.run_module("evalkit", run_name="__main__", alter_sys=True)
    except BaseException as found:
        fault = found
    os._exit(ended(fault))


if __name__ == "__main__":
    main()
