"""The walls of a sandbox out of Linux's namespaces: a root folder with a few folders to read, no network, no other process, no privileges, limits.

What can be seen there is what `enter` is told, read-only, beside an empty ``/tmp`` of a bounded size and a few devices. Neither ``/proc`` nor
``/sys`` is there. Nothing here needs a program: Linux is asked itself, which has it from version 5.14 on.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from evalkit.sandbox.within import calls

INSIDE = 1000
"""The user inside, and the group."""
_NEW_MOUNTS, _NEW_CGROUP, _NEW_UTS, _NEW_IPC, _NEW_USER, _NEW_PIDS, _NEW_NET = (1 << at for at in (17, 25, 26, 27, 28, 29, 30))
_NOSUID, _NODEV, _BIND, _REC, _PRIVATE = 2, 4, 1 << 12, 1 << 14, 1 << 18
_DETACH = 2
_MOUNT_SETATTR, _HERE, _RECURSIVE = 442, -100, 0x8000
_READ_ONLY, _NO_SUID, _NO_DEVICES = 1, 2, 4
_DIES_WITH_PARENT, _DUMPABLE, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES = 1, 4, 24, 38
_JOIN_SESSION_KEYRING = 1
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_CAPABILITIES = 0x20080522
_DEVICES = ("null", "zero", "urandom", "random")
_FILES = 1_000

_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = (("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64), ("user", ctypes.c_uint64))


class _Who(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def enter(see: Sequence[str], hide: Sequence[str], room: int) -> None:
    """Go behind the walls; returns in a new process, the first one there, while the old one waits for it and ends as it does.

    Args:
        see: files and folders that are there, under the names that they have here.
        hide: folders in these that are empty there.
        room: bytes of ``/tmp``.

    Raises:
        OSError: Linux does not allow it here.
    """
    die_with_parent()
    root = os.geteuid() == 0
    _new_namespaces(root)
    child = os.fork()
    if child:
        for one in (0, 1):
            os.close(one)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 255)
    die_with_parent()
    with suppress(OSError):  # it may be read-only, and the self-test tells whether user namespaces can be had inside
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    _new_root(see, hide, room)
    if root:
        os.setgroups([])
        os.setresgid(INSIDE, INSIDE, INSIDE)
        os.setresuid(INSIDE, INSIDE, INSIDE)
        die_with_parent()  # which a change of user undoes


def close_in(limits: dict[str, int]) -> None:
    """Give up what privileges there are, for good, and keep to the limits from now on."""
    for number in range(64):
        _libc.prctl(_DROP_CAPABILITY, number, 0, 0, 0)
    who, none = _Who(_CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(ctypes.byref(who), ctypes.byref(none)), "capset")
    _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "no_new_privs")
    if (keyctl := _KEYCTL.get(os.uname().machine)) is not None:
        _libc.syscall(keyctl, _JOIN_SESSION_KEYRING, None)
    for name, most in limits.items():
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(number, (most, most))
    # Whoever shares the user here, as the answer's process does, is not to look into this one.
    _checked(_libc.prctl(_DUMPABLE, 0, 0, 0, 0), "dumpable")
    calls.refuse()


def die_with_parent() -> None:
    """Be killed when the process ends that started this one."""
    _checked(_libc.prctl(_DIES_WITH_PARENT, int(signal.SIGKILL), 0, 0, 0), "pdeathsig")


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _new_namespaces(root: bool) -> None:
    """Unshare all there is to be unshared. The user of the outside stays itself inside; of root a second user is known, who owns nothing anywhere."""
    spaces = _NEW_USER | _NEW_MOUNTS | _NEW_PIDS | _NEW_NET | _NEW_IPC | _NEW_UTS | _NEW_CGROUP
    if not root:
        user, group = os.geteuid(), os.getegid()
        _checked(_libc.unshare(spaces), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{INSIDE} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{INSIDE} {group} 1")
        return
    here, there = os.pipe()
    parent = os.getpid()
    helper = os.fork()
    if not helper:  # it stays outside, where it may say who is who inside
        try:
            os.close(there)
            if os.read(here, 1):
                nobody = _unused()
                for one in ("uid_map", "gid_map"):
                    Path(f"/proc/{parent}/{one}").write_text(f"0 0 1\n{INSIDE} {nobody} 1\n")
                os._exit(0)
        finally:
            os._exit(1)
    os.close(here)
    _checked(_libc.unshare(spaces), "unshare")
    os.write(there, b"x")
    os.close(there)
    if os.waitpid(helper, 0)[1]:
        raise PermissionError("the users of a namespace cannot be set")


def _unused() -> int:
    """A number of a user that nobody has, another one each time: near the highest there is, for systems give them out from below."""
    lines = [list(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    begins, _, count = max(lines, key=lambda line: line[0] + line[2])
    return begins + count - 3 - int.from_bytes(os.urandom(2), "big") % max(1, min(60_000, count // 2))


def _mount(source: str, place: str, kind: str | None, flags: int, options: str = "") -> None:
    found = _libc.mount(source.encode(), place.encode(), None if kind is None else kind.encode(), ctypes.c_ulong(flags), options.encode())
    _checked(found, f"mount {place}")


def _read_only(place: str, devices: bool = False) -> None:
    """Make all that is mounted there read-only."""
    wanted = _Attributes(_READ_ONLY | _NO_SUID | (0 if devices else _NO_DEVICES), 0, 0, 0)
    found = _libc.syscall(_MOUNT_SETATTR, _HERE, place.encode(), _RECURSIVE, ctypes.byref(wanted), ctypes.sizeof(wanted))
    _checked(found, f"mount_setattr {place}")


def _pivot(new: str, old: str) -> None:
    _checked(_libc.pivot_root(new.encode(), old.encode()), "pivot_root")


def _new_root(see: Sequence[str], hide: Sequence[str], room: int) -> None:
    """Have a root folder that holds what is to be seen, and nothing of the old one."""
    os.umask(0o022)
    _mount("none", "/", None, _REC | _PRIVATE)
    # All that is mounted stays as it is below /old, also what stands in the folder that is used for it.
    _mount("tmpfs", "/tmp", "tmpfs", _NOSUID | _NODEV, "mode=755,size=4m")  # noqa: S108 (a mount of this process's own, which nobody else sees)
    os.chdir("/tmp")  # noqa: S108
    for one in ("old", "new"):
        Path(one).mkdir()
    _pivot(".", "old")
    os.chdir("/")
    _mount("tmpfs", "/new", "tmpfs", _NOSUID | _NODEV, "mode=755,size=4m")
    for one in see:
        _show(one)
    for one in hide:
        if Path(f"/new{one}").is_dir():
            _mount("tmpfs", f"/new{one}", "tmpfs", _NOSUID | _NODEV, "mode=755,size=4k")
    for one in _DEVICES:
        _show(f"/dev/{one}", devices=True)
    _read_only_but("/new", f"/new{_TEMPORARY}", room)
    os.chdir("/new")
    _pivot(".", ".")
    _checked(_libc.umount2(b".", _DETACH), "umount")
    os.chdir(_TEMPORARY)


_TEMPORARY = "/tmp"  # noqa: S108 (that of the sandbox, which is empty each time)


def _read_only_but(root: str, place: str, room: int) -> None:
    Path(place).mkdir(exist_ok=True)
    wanted = _Attributes(_READ_ONLY, 0, 0, 0)
    _checked(_libc.syscall(_MOUNT_SETATTR, _HERE, root.encode(), 0, ctypes.byref(wanted), ctypes.sizeof(wanted)), f"mount_setattr {root}")
    _mount("tmpfs", place, "tmpfs", _NOSUID | _NODEV, f"mode=1777,size={room},nr_inodes={_FILES}")


def _show(path: str, devices: bool = False) -> None:
    """Have a file, a folder, or a link as it is outside, read-only."""
    old, new = Path(f"/old{path}"), Path(f"/new{path}")
    if new.is_symlink() or new.exists() or not (old.is_symlink() or old.exists()):
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_symlink():
        new.symlink_to(old.readlink())
        return
    if old.is_dir():
        new.mkdir()
    else:
        new.touch()
    _mount(str(old), str(new), None, _BIND | _REC)
    _read_only(str(new), devices)


def fail(fault: BaseException) -> None:
    """Say why there are no walls, and end."""
    print(json.dumps(f"{type(fault).__name__}: {fault}"), file=sys.stderr, flush=True)  # noqa: T201 (whoever started this reads it there)
    os._exit(70)
