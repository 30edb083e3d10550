"""Whether the walls hold, tried from inside, where the answer would be, before any answer is."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

_NEW_USER = 1 << 28
_CLONE = {"x86_64": 56, "aarch64": 220}
_ATTACH, _DETACH = 16, 17
_CAPABILITIES = 0x20080522
_PIECE = 2**20
_OTHER_FAMILIES = (16, 38, 40)  # of the kernel itself, its ciphers, and of virtual machines


def found(port: int, paths: Sequence[str], place: str, limits: dict[str, int], room: int) -> dict[str, bool]:
    """By the name of each wall whether it holds.

    Args:
        port: where something listens on the loopback address outside.
        paths: of files and folders that are to be unseen.
        place: a folder outside that its user may write into.
        limits: by their names in `resource`.
        room: bytes of ``/tmp``.
    """
    tries: dict[str, Callable[[], bool]] = {
        "no network": lambda: _fails(lambda: socket.create_connection(("127.0.0.1", port), timeout=0.5)),
        "no network of another kind": lambda: not any(map(_has_socket, _OTHER_FAMILIES)),
        "no file of yours to read": lambda: not any(Path(one).exists() for one in (*paths, "/proc/self", "/sys/kernel", "/run", "/var/run")),
        "no file to write": lambda: all(_fails(Path(one, "evalkit").touch) for one in ("/", "/dev", "/usr/lib", os.path.dirname(os.__file__), place)),  # noqa: PTH120 (a name alone)
        "no environment": lambda: set(os.environ) == {"HOME", "TMPDIR", "LANG", "PATH"} and Path.home() == Path("/tmp"),  # noqa: S108
        "no privileges": _without_capabilities,
        "no namespaces of its own": _without_namespaces,
        "no look into the tests": _cannot_attach,
        "a limit of memory": lambda: _fails(lambda: bytearray(limits["RLIMIT_AS"]), MemoryError),
        "no memory beside that": _no_other_memory,
        "a limit of processes": lambda: _few_processes(limits["RLIMIT_NPROC"]),
        "a limit of open files": lambda: _few_files(limits["RLIMIT_NOFILE"]),
        "a limit of a file's size": lambda: _fails(lambda: _fill(["/tmp/long"], limits["RLIMIT_FSIZE"] + 1)),  # noqa: S108
        "a limit of all files": lambda: _fails(lambda: _fill([f"/tmp/{at}" for at in range(64)], room // 32)),  # noqa: S108
        "the other limits": lambda: all(resource.getrlimit(getattr(resource, name))[1] <= most for name, most in limits.items()),
    }
    return {name: bool(holds()) for name, holds in tries.items()}


def _fails(work: Callable[[], object], kind: type[BaseException] = OSError) -> bool:
    try:
        work()
    except kind:
        return True
    return False


def _has_socket(family: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        with suppress(OSError):
            socket.socket(family, kind).close()
            return True
    return False


def _fill(names: Sequence[str], size: int) -> None:
    """Write files of so many bytes each, and take them away again."""
    try:
        for name in names:
            with open(name, "wb", buffering=0) as file:  # noqa: PTH123 (unbuffered)
                for at in range(0, size, _PIECE):
                    if file.write(bytes(min(_PIECE, size - at))) < min(_PIECE, size - at):
                        raise OSError(name)
    finally:
        for name in names:
            with suppress(OSError):
                os.unlink(name)  # noqa: PTH108 (many)


def _without_capabilities() -> bool:
    class Who(ctypes.Structure):
        _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))

    has = (ctypes.c_uint32 * 6)()
    asked = ctypes.CDLL(None).capget(ctypes.byref(Who(_CAPABILITIES, 0)), ctypes.byref(has))
    return asked == 0 and not any(has) and os.geteuid() != 0 and _fails(lambda: os.setuid(0))


def _without_namespaces() -> bool:
    """Whether neither this process nor a new one gets a user namespace, in which it would have privileges."""
    libc = ctypes.CDLL(None)
    clone = _CLONE.get(os.uname().machine)
    if libc.unshare(_NEW_USER) == 0 or clone is None:
        return False
    child = libc.syscall(clone, _NEW_USER | int(signal.SIGCHLD), 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    if child > 0:
        os.waitpid(child, 0)
    return bool(child < 0)


def _cannot_attach() -> bool:
    ptrace = ctypes.CDLL(None).ptrace
    parent = os.getppid()
    if ptrace(_ATTACH, parent, None, None) == 0:
        os.waitpid(parent, 0)
        ptrace(_DETACH, parent, None, None)
        return False
    return True


def _no_other_memory() -> bool:
    """Whether memory is to be had neither of System V nor as a file without a name, which the limit of addresses does not count."""
    libc = ctypes.CDLL(None)
    if libc.shmget(0, _PIECE, 0o1600) != -1 or libc.msgget(0, 0o1600) != -1:
        return False
    return _fails(lambda: os.close(os.memfd_create("evalkit")))


def _few_processes(most: int) -> bool:
    children = []
    try:
        for _ in range(most + 1):
            child = os.fork()
            if not child:
                signal.pause()
            children.append(child)
    except OSError:
        return True
    finally:
        for one in children:
            os.kill(one, signal.SIGKILL)
            os.waitpid(one, 0)
    return False


def _few_files(most: int) -> bool:
    opened: list[int] = []
    try:
        opened.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(most + 1))
    except OSError:
        return True
    finally:
        os.closerange(4, most + 8)
    return False
