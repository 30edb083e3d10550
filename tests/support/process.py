"""The project's place, the environment of child processes, and commands run as a user runs them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COVER = ("PARADIGM_API_KEY", "PARADIGM_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "COLUMNS")
START = ("PYTHON", "OPENAI", "MPL", "LC_", "LANG", "OPENBLAS", "OMP")
"""How variables begin that are read when Python starts or a library is imported: a process that is forked later would not heed them."""
TIMEOUT_S = 120


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: as clean as the tests' own."""
    return {name: value for name, value in os.environ.items() if name not in COVER} | (more or {})


def run(arguments: list[str], cwd: Path, env: dict[str, str], script: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``python -m evalkit``, or a `script`, in a new process."""
    command = [sys.executable, "-W", "error", *([str(script)] if script else ["-m", "evalkit"]), *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


class Commands:
    """Runs ``python -m evalkit``, or a script, in a process of its own each time, forked from one that has all imports behind it.

    Each has its own folder, variables, output, signals and end, as a new one would have. Where a variable is set that Python or a library
    reads at its start, and where forking is not sound (elsewhere than on Linux), a new process is started.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._env = environment({"OPENBLAS_NUM_THREADS": "1"})  # a process with threads cannot be forked soundly
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, arguments: list[str], cwd: Path, env: dict[str, str], script: Path | None = None) -> subprocess.CompletedProcess[str]:
        if sys.platform != "linux" or self._at_start(env) != self._at_start(environment()):
            return run(arguments, cwd, env, script)
        if self._process is None:
            self._start()
        out, err = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
        out.write_bytes(b"")
        err.write_bytes(b"")
        request = {"arguments": arguments, "script": script and str(script), "cwd": str(cwd), "env": env, "stdout": str(out), "stderr": str(err)}
        self._wire.sendall(json.dumps(request).encode() + b"\n")
        try:
            status = int(self._wire.recv(16))
        except TimeoutError:  # the command hangs; the next one gets a process that does not wait for it
            self._kill()
            raise subprocess.TimeoutExpired(arguments, TIMEOUT_S, out.read_bytes(), err.read_bytes()) from None
        return subprocess.CompletedProcess(arguments, status, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))

    @staticmethod
    def _at_start(env: dict[str, str]) -> dict[str, str]:
        return {name: value for name, value in env.items() if name.startswith(START)}

    def _start(self) -> None:
        self._wire, theirs = socket.socketpair()
        self._wire.settimeout(TIMEOUT_S)
        with theirs:
            command = [sys.executable, "-W", "error", str(Path(__file__).with_name("forked.py")), str(theirs.fileno())]
            self._process = subprocess.Popen(
                command, env=self._env, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )

    def _kill(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(TIMEOUT_S)
        self._wire.close()
        self._process = None

    def close(self) -> None:
        """End the process that forks."""
        if self._process is not None:
            self._wire.close()
            self._process.wait(TIMEOUT_S)
        self._folder.cleanup()
