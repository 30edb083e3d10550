"""Which calls of the system are refused behind the walls: those that no answer needs, and that lead past namespaces or deep into the kernel."""

from __future__ import annotations

import ctypes
import os
from typing import NamedTuple

_SET_SECCOMP, _BY_FILTER = 22, 2
_LOAD, _IS, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NOT_PERMITTED, _NO_SUCH_FAMILY = 1, 97
_NUMBER, _MACHINE, _FIRST_GIVEN = 0, 4, 16  # where they stand in what a filter sees
_OTHER_NUMBERS = 0x40000000  # of another way to call the same kernel
_FAMILIES = (1, 2, 10)  # sockets of this machine and of the internet, which has nobody in it here; others know no namespaces
_NEW = (425, 426, 427, 428, 429, 430, 431, 432, 433, 438, 442, 447)
"""Of io_uring, which no filter sees into, of mounts, of others' files, of memory that is hidden: the same everywhere."""


class _Machine(NamedTuple):
    """How a kind of machine is called in filters, its number of ``socket``, and those of calls that are refused.

    In this order: ptrace, mount, umount2, pivot_root, swapon, swapoff, reboot, sethostname, init_module, delete_module, kexec_load, add_key,
    request_key, keyctl, unshare, perf_event_open, open_by_handle_at, setns, process_vm_readv, process_vm_writev, kcmp, finit_module,
    kexec_file_load, bpf, userfaultfd; and those that hold memory which is no process's own and no file's, so that no limit counts it: shmget, msgget,
    memfd_create.
    """

    name: int
    socket: int
    refused: tuple[int, ...]


_MACHINES = {
    "x86_64": _Machine(
        0xC000003E, 41,
        (101, 165, 166, 155, 167, 168, 169, 170, 175, 176, 246, 248, 249, 250, 272, 298, 304, 308, 310, 311, 312, 313, 320, 321, 323, 29,
         68, 319),
    ),
    "aarch64": _Machine(
        0xC00000B7, 198,
        (117, 40, 39, 41, 224, 225, 142, 161, 105, 106, 104, 217, 218, 219, 97, 241, 265, 268, 270, 271, 272, 273, 294, 280, 282, 194,
         186, 279),
    ),
}  # fmt: skip


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("then", ctypes.c_uint8), ("otherwise", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("steps", ctypes.POINTER(_Step)))


def refuse() -> None:
    """Refuse them from now on, here and in all processes below; of kinds of machines that are not known nothing, which the self-test then shows.

    Raises:
        OSError: Linux does not take the filter.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return
    steps = [(_LOAD, 0, 0, _MACHINE), (_IS, 1, 0, machine.name), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, _NUMBER)]
    steps += [(_AT_LEAST, 0, 1, _OTHER_NUMBERS), (_RETURN, 0, 0, _REFUSE | _NOT_PERMITTED)]
    for number in (*machine.refused, *_NEW):
        steps += [(_IS, 0, 1, number), (_RETURN, 0, 0, _REFUSE | _NOT_PERMITTED)]
    steps += [(_IS, 0, len(_FAMILIES) + 2, machine.socket), (_LOAD, 0, 0, _FIRST_GIVEN)]
    steps += [(_IS, len(_FAMILIES) - at, 0, family) for at, family in enumerate(_FAMILIES)]
    steps += [(_RETURN, 0, 0, _REFUSE | _NO_SUCH_FAMILY), (_RETURN, 0, 0, _ALLOW)]
    every = (_Step * len(steps))(*(_Step(*one) for one in steps))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SET_SECCOMP, _BY_FILTER, ctypes.byref(_Program(len(steps), every)), 0, 0):
        raise OSError(ctypes.get_errno(), f"seccomp: {os.strerror(ctypes.get_errno())}")
