"""A Python that has imported what the command line may need, and forks a process for each command: the start of a command costs nothing then.

Run by `support.process.Commands`; the first argument is the socket to talk on. A request is a line of JSON; its answer is the exit status.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
from typing import Any

HEAVY = (
    "duckdb",
    "jinja2",
    "matplotlib.figure",
    "openai",
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
    sys.argv = ["-m", *request["arguments"]]


def main() -> None:
    """Fork for each request, until the other end closes; the forked process goes on from here as ``python -m evalkit``."""
    with socket.socket(fileno=int(sys.argv[1])) as wire:
        imported()
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
    sys.path[0] = request["cwd"]  # as -m has it
    become(request)
    runpy.run_module("evalkit", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
