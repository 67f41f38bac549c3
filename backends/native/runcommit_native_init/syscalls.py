"""The kernel's calls that Python 3.11 does not know.

Source: the manual pages unshare(2), mount(2), mount_setattr(2), pivot_root(2), prctl(2), capget(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24
PR_SET_SECCOMP, PR_CAP_AMBIENT = 22, 47

MOUNT_ATTR_RDONLY, MOUNT_ATTR_NODEV = 1, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_SETATTR = 442
"""The same number on all machines, as those of all calls since Linux 5.1."""

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class _Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def unshare(flags: int) -> None:
    """Leave the namespaces of these kinds for new ones."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount something; ``target`` is followed if it is a link."""
    words = (os.fsencode(word) for word in (source, target, kind))
    _checked(_libc.mount(*words, ctypes.c_ulong(flags), os.fsencode(options)), f"mount at {target}")


def bind(source: str, target: str) -> None:
    """Show at ``target`` what is at ``source``, with all that is mounted below."""
    mount(source, target, flags=MS_BIND | MS_REC)


def forbid(target: str, what: int) -> None:
    """Set MOUNT_ATTR_… of a mount and of those below it."""
    wanted = _Attributes(set=what)
    words = (_AT_FDCWD, os.fsencode(target), _AT_RECURSIVE, ctypes.byref(wanted))
    done = _libc.syscall(_MOUNT_SETATTR, *words, ctypes.c_size_t(ctypes.sizeof(wanted)))
    if done and ctypes.get_errno() == errno.ENOSYS:
        # before Linux 5.12; these flags have the same numbers, and those that are set must stay
        kept = os.statvfs(target).f_flag & (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount("", target, flags=MS_REMOUNT | MS_BIND | what | kept)
        return
    _checked(done, f"mount attributes at {target}")


def change_root(folder: str) -> None:
    """Make a mount the root of this mount namespace; nothing leads back to the old one."""
    os.chdir(folder)
    number = _PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        os.chroot(".")
        return
    _checked(_libc.syscall(number, b".", b"."), "pivot_root")
    _checked(_libc.umount2(b".", MNT_DETACH), "umount")
    os.chdir("/")


def control(option: int, *words: int | ctypes.c_void_p) -> None:
    """Call prctl(2)."""
    padded = [*words, *[0] * (4 - len(words))]
    given = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in padded]
    _checked(_libc.prctl(option, *given), f"prctl {option}")


def hold_capabilities(bits: int, *, inheritable: int = 0) -> None:
    """Have these capabilities, permitted and effective, and no others."""
    header = _Header(version=_CAPABILITY_VERSION_3, pid=0)
    halves = [
        (value >> shift) & 0xFFFFFFFF for shift in (0, 32) for value in (bits, bits, inheritable)
    ]
    data = (ctypes.c_uint32 * 6)(*halves)
    _checked(_libc.capset(ctypes.byref(header), data), "capset")


def _checked(result: int, what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
