"""Work on groups spread over processes: each is forked, so that it has all there is without being told, and sends back what it found."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Generic, TypeVar

from evalkit.errors import ExperimentError

Item = TypeVar("Item")
Out = TypeVar("Out")

MOST = 256
_MB = 2**20
_EACH = 0.3
"""Of this process's memory, what a further one comes to need for itself."""


def check_jobs(jobs: int) -> None:
    """Raise `ExperimentError` where `jobs` is no number of processes, or of more than there is memory for."""
    if not 1 <= jobs <= MOST:
        raise ExperimentError(f"jobs: found {jobs}; expected a number of processes from 1 to {MOST}")
    free, own = _memory()
    if jobs > 1 and free is not None and (jobs - 1) * _EACH * own > free:
        most = max(1, 1 + int(free / (_EACH * own)))
        each = f"{_EACH * own / _MB:.0f} MB"
        raise ExperimentError(
            f"jobs: {jobs} processes, each of which comes to need {each}, do not fit into the {free / _MB:,.0f} MB that are free; give {most} at most"
        )


def spread(items: Sequence[Item], work: Callable[[Item], Out], jobs: int, name: Callable[[Item], str]) -> Iterator[tuple[Item, Out]]:
    """What `work` gives for each item, as it comes; in this process where `jobs` is 1 or none can be forked.

    Args:
        work: gives something that can be pickled; what it raises is raised here.
        name: an item as people name it.

    Raises:
        ExperimentError: a process died twice over the same items, the first of which is named.
    """
    jobs = min(jobs, len(items))
    if jobs < 2 or "fork" not in multiprocessing.get_all_start_methods():
        yield from ((one, work(one)) for one in items)
        return
    workers = [_Worker(items[start::jobs], work) for start in range(jobs)]
    try:
        while workers:
            for one in wait([worker.results for worker in workers]):
                worker = next(each for each in workers if each.results is one)
                found = worker.next()
                if found is not None:
                    yield found
                    continue
                workers.remove(worker)
                if worker.left:
                    workers.append(worker.again(name))
    finally:
        for worker in workers:
            worker.end()


class _Worker(Generic[Item, Out]):
    """A process that works on `items` in their order; `left` are those that it has sent nothing of."""

    def __init__(self, items: Sequence[Item], work: Callable[[Item], Out], *, second: bool = False) -> None:
        self.left, self._work, self._second = list(items), work, second
        fork = multiprocessing.get_context("fork")
        self.results, sending = fork.Pipe(duplex=False)
        self._process = fork.Process(target=_work, args=(self.left, work, sending), daemon=True)
        self._process.start()
        sending.close()

    def next(self) -> tuple[Item, Out] | None:
        """What it found for its next item; None where it has ended. Raises what the work raised."""
        try:
            failed, found = pickle.loads(self.results.recv_bytes())  # noqa: S301 (its own process wrote it)
        except EOFError:
            self._process.join()
            self.results.close()
            return None
        if failed:
            raise found
        return self.left.pop(0), found

    def again(self, name: Callable[[Item], str]) -> _Worker[Item, Out]:
        """Another for what is left. Raises `ExperimentError` where this was the second already."""
        if self._second:
            code = self._process.exitcode or 0
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise ExperimentError(
                f"scoring: the process that scored {name(self.left[0])} died twice ({how}), {len(self.left)} groups left; "
                "if memory was short, give fewer jobs, else score with jobs 1 to see what happens"
            )
        return _Worker(self.left, self._work, second=True)

    def end(self) -> None:
        """Stop it at once."""
        self._process.kill()
        self._process.join()
        self.results.close()


def _work(items: Sequence[Item], work: Callable[[Item], Out], results: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that forked it hears it too, and ends it
    for one in items:
        failed = False
        try:
            sent = pickle.dumps((False, work(one)))
        except Exception as fault:
            sent, failed = _pickled(fault), True
        try:
            results.send_bytes(sent)
        except OSError:
            return  # nobody waits for it any more
        if failed:
            return


def _pickled(fault: Exception) -> bytes:
    try:
        sent = pickle.dumps((True, fault))
        pickle.loads(sent)  # noqa: S301 (some can be written and not read)
    except Exception:  # a fault of the user's own may hold anything
        return pickle.dumps((True, RuntimeError(f"{type(fault).__name__}: {fault}")))
    return sent


def _memory() -> tuple[float | None, float]:
    """Bytes that are free, None where nobody tells, and those of this process."""
    try:
        told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
        own = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return float(told["MemAvailable"].split()[0]) * 1024, float(own)
    except (OSError, KeyError, ValueError):
        return None, 0.0
