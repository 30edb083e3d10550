"""What runs first: it reads what to do, goes behind the walls, parts the answer's process from that of the tests, and says how it went."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

from evalkit.sandbox.within import answering, asking, proof, walls
from evalkit.sandbox.within.line import GoneError, Pipe

_SECOND_LOOK_S = 0.05


def main() -> None:
    """Do one job that stands on standard input."""
    inwards = Pipe(0)
    try:
        _do(inwards.read(), inwards)
    except (GoneError, OSError, KeyError) as fault:
        walls.fail(fault)


def serve() -> None:
    """Do one job after the other, each in a process of its own, and say when it is over, until there are no more.

    What is imported once need not be imported again. This process reads what a job is, and never an answer or its tests: what it knows, the processes
    of the answers know too.
    """
    walls.die_with_parent()
    inwards, outwards = Pipe(0), Pipe(1)
    while True:
        try:
            job = inwards.read()
        except GoneError:
            return
        child = os.fork()
        if not child:
            try:
                _do(job, inwards)
            except BaseException as fault:
                walls.fail(fault)
        _, status = os.waitpid(child, 0)
        outwards.write({"over": os.waitstatus_to_exitcode(status)})


def _do(job: dict[str, Any], inwards: Pipe) -> None:
    """Do a job, a message each: the walls and limits, the answer, and, once that has a process of its own, the tests; ends the process."""
    if job["walls"] is not None:
        walls.enter(**job["walls"])
    else:
        walls.die_with_parent()
    outwards = Pipe(os.dup(1))
    null = os.open("/dev/null", os.O_RDWR)
    for one in (1, 2):
        os.dup2(null, one)
    os.environ.clear()
    os.environ.update(HOME="/tmp", TMPDIR="/tmp", LANG="C.UTF-8", PATH="")  # noqa: S108 (that of the sandbox)
    walls.close_in(job["limits"])
    outwards.write({"begun": True})
    if job["prove"] is not None:
        _, _, pipe = _parted(null, lambda fd: Pipe(fd).write(proof.found(**job["prove"])))
        outwards.write(pipe.read())
        os._exit(0)
    code = inwards.read()["code"]
    child, _, pipe = _parted(null, lambda fd: answering.answer(fd, code))
    passed, why = asking.verdict(pipe.fd, inwards.read()["tests"])
    if not passed and why == _ENDED and (how := _how(child)):
        why = f"the answer: {how}"
    outwards.write({"passed": passed, "why": why})
    os._exit(0)


_ENDED = "the answer: it ended"


def _how(child: int) -> str:
    """How the answer's process ended, which it does a moment after its end of the line is gone."""
    for _ in range(10):
        if found := asking.ended(child):
            return found
        time.sleep(_SECOND_LOOK_S)
    return ""


def _parted(null: int, work: Callable[[int], Any]) -> tuple[int, socket.socket, Pipe]:
    """Do some work in a process of its own, which has nothing of this one's but an end of a line: its number, and the other end."""
    here, there = socket.socketpair()
    child = os.fork()
    if child:
        there.close()
        return child, here, Pipe(here.fileno())
    try:
        os.dup2(null, 0)
        fd = os.dup2(there.fileno(), 3)
        os.closerange(4, 1024)
        here.detach()
        there.detach()
        sys.stdin = open(0)  # noqa: SIM115 (for the rest of this process)
        os.setsid()
        work(fd)
    finally:
        os._exit(0)
