"""Who the command is, and what it may do: docker's default capabilities, and fewer calls.

Source: capabilities(7), seccomp(2), and the default profiles of docker (moby ``profiles/seccomp``).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import TYPE_CHECKING

from runcommit_native_init.syscalls import (
    PR_CAP_AMBIENT,
    PR_CAPBSET_DROP,
    PR_SET_SECCOMP,
    control,
    hold_capabilities,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEPT = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
"""By their numbers CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP,
NET_BIND_SERVICE, NET_RAW, SYS_CHROOT, MKNOD, AUDIT_WRITE and SETFCAP."""

_CLEAR_ALL, _FILTER = 4, 2
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_WORD_AT = 0, 4, 16
_NEW_NAMESPACES = 0x7E020000
"""The bits of all CLONE_NEW… in the flags of clone(2)."""

_CALLS = {
    "x86_64": (
        0xC000003E,
        56,
        (*(153, 155, 163, 164, 165, 166, 167, 168, 169, 170, 171, 172, 173, 175, 176, 179, 212),
         *(227, 246, 248, 249, 250, 272, 298, 304, 308, 313, 320, 321, 323)),
    ),
    "aarch64": (
        0xC00000B7,
        220,
        (*(18, 39, 40, 41, 58, 60, 89, 97, 104, 105, 106, 112, 142, 161, 162, 170, 217, 218),
         *(219, 224, 225, 241, 265, 268, 273, 280, 282, 294)),
    ),
}  # fmt: skip
"""By machine: AUDIT_ARCH, clone, and the calls about mounts, namespaces, modules, kexec, clocks,
swap, keys, tracing by bpf and perf, and handles of files."""

_CLOSED_EVERYWHERE = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442)
"""io_uring, and the newer calls about mounts."""

_CLONE3 = 435


def drop_capabilities(last: int = 63) -> None:
    """Have docker's default capabilities at most, also by way of setuid programs."""
    control(PR_CAP_AMBIENT, _CLEAR_ALL)
    for number in range(last + 1):
        if number not in _KEPT:
            try:
                control(PR_CAPBSET_DROP, number)
            except OSError:
                break  # this kernel knows no more of them
    hold_capabilities(sum(1 << number for number in _KEPT))


def become_user(uid: int, gid: int, groups: Sequence[int]) -> None:
    """Be this user, who has no capabilities unless it is root."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def close_calls() -> None:
    """Refuse the kernel's calls that no build needs; on other machines than known ones none."""
    known = _CALLS.get(os.uname().machine)
    if known is None:
        return
    machine, clone, closed = known
    program = [
        _step(_LOAD, _MACHINE_AT),
        _step(_EQUAL, machine, 1, 0),
        _step(_RETURN, _ALLOW),  # 32-bit programs, whose calls have other numbers
        _step(_LOAD, _NUMBER_AT),
    ]
    for number in (*closed, *_CLOSED_EVERYWHERE):
        program += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | _EPERM)]
    program += [
        # its flags are out of sight, and whoever gets this answer calls clone
        *(_step(_EQUAL, _CLONE3, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)),
        *(_step(_EQUAL, clone, 0, 3), _step(_LOAD, _FIRST_WORD_AT)),
        *(_step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _step(_RETURN, _ERRNO | _EPERM)),
        _step(_RETURN, _ALLOW),
    ]
    _install(program)


def _step(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_so, if_not, value)


def _install(program: Sequence[bytes]) -> None:
    text = ctypes.create_string_buffer(b"".join(program))
    whole = struct.pack("@HP", len(program), ctypes.addressof(text))
    held = ctypes.create_string_buffer(whole)
    control(PR_SET_SECCOMP, _FILTER, ctypes.c_void_p(ctypes.addressof(held)))
