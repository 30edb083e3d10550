"""The embedded model as a child process, spoken to over its port like any other endpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from evalkit.errors import EndpointError


class Embedded:
    """A context manager around the child; it is gone afterwards, and also ends by itself when this process dies.

    The child watches its standard input, whose other end only this process holds: however this one ends, the input does too.
    """

    def __enter__(self) -> Embedded:
        # The child finds this very package, and a folder it happens to start in shadows nothing.
        home = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-P", "-m", "evalkit", "serve", "--port", "0", "--until-input-ends"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,  # an interrupt from the keyboard is for the parent to handle
            )
        except OSError as fault:
            raise EndpointError(f"the embedded endpoint cannot be started: {fault.strerror}") from None
        if self._child.stdin is None or self._child.stdout is None:
            raise RuntimeError("a child with pipes has both ends")
        self._input, self._output = self._child.stdin, self._child.stdout
        return self

    def base_url(self) -> str:
        """Where it listens; waits until it does. Raises `EndpointError` where it ends instead."""
        line = self._output.readline().decode().strip()
        if not line:
            raise EndpointError(f"the embedded endpoint ended at its start (exit status {self._child.wait(10)}); its words stand above")
        return line

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._input.close()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._output.close()
