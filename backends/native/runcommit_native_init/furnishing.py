"""What a container finds besides its files: devices, /proc, /sys, names of hosts, mounts."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from typing import TYPE_CHECKING, Any

from runcommit_native_init.inroot import beneath
from runcommit_native_init.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    bind,
    forbid,
    mount,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDERS = ("/dev", "/proc", "/sys")
"""Folders that every container has."""

_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
"""The machine's own, bound: no other device works here, whoever makes a node for it."""

_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "core": "/proc/kcore",
    "ptmx": "pts/ptmx",
}
_MASKED = (
    *("acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug", "scsi"),
    *("timer_list", "timer_stats"),
)
_FIXED = ("bus", "fs", "irq", "sys", "sysrq-trigger")
_BARE = MS_NOSUID | MS_NOEXEC | MS_NODEV
_SMALL = "size=65536k"
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 1


def furnish(root: str, files: Mapping[str, str], *, own_network: bool) -> None:
    """Mount what every container has below ``root``; ``files`` are ours, by their paths there."""
    with contextlib.suppress(OSError):
        socket.sethostname("runcommit")
    mount("proc", f"{root}/proc", "proc", _BARE)
    _mount_sys(f"{root}/sys", own_network=own_network)
    _make_devices(f"{root}/dev")
    for target, source in files.items():
        bind(source, f"{root}/{beneath(root, target)}")
    for name in _FIXED:
        _fix(f"{root}/proc/{name}")
    for path in (*(f"{root}/proc/{name}" for name in _MASKED), f"{root}/sys/firmware"):
        _mask(path, f"{root}/dev/null")
    if own_network:
        _raise_loopback()


def make_mount(root: str, wanted: Mapping[str, Any]) -> None:
    """Make one of the job's own mounts."""
    target = f"{root}/{beneath(root, wanted['target'])}"
    _make_in_mount(target, is_folder=is_folder(wanted))
    if wanted["source"]:
        bind(wanted["source"], target)
        if not stat.S_ISCHR(os.stat(target).st_mode):
            forbid(target, MOUNT_ATTR_NODEV)
        if wanted["read_only"]:
            forbid(target, MOUNT_ATTR_RDONLY)
        return
    size = f",size={wanted['size']}" if wanted["size"] else ""
    mode = 0o1777 if wanted["mode"] is None else wanted["mode"]
    mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"mode={mode:o}{size}")


def targets(mounts: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Where mounts want a folder, and where a file."""
    folders: list[str] = []
    files: list[str] = []
    for each in mounts:
        (folders if is_folder(each) else files).append(each["target"])
    return folders, files


def is_folder(wanted: Mapping[str, Any]) -> bool:
    """Whether a mount is one of a folder."""
    return not wanted["source"] or os.path.isdir(wanted["source"])


def _make_in_mount(target: str, *, is_folder: bool) -> None:
    """Make a target that is not there: all are but those in other mounts."""
    if os.path.lexists(target):
        return
    if is_folder:
        os.makedirs(target, 0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))


def _mount_sys(target: str, *, own_network: bool) -> None:
    try:
        mount("sysfs", target, "sysfs", _BARE | MS_RDONLY)
    except PermissionError:
        if own_network:
            raise
        # the network is of another user namespace, and so is what sysfs would show of it
        bind("/sys", target)
        forbid(target, MOUNT_ATTR_RDONLY)


def _make_devices(dev: str) -> None:
    mount("tmpfs", dev, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=755,{_SMALL}")
    for name in _DEVICES:
        os.close(os.open(f"{dev}/{name}", os.O_CREAT | os.O_CLOEXEC, 0o600))
        bind(f"/dev/{name}", f"{dev}/{name}")
        # it is the machine's own: it can be written to, but its mode and owner stay
        forbid(f"{dev}/{name}", MOUNT_ATTR_RDONLY)
    for name, link in _LINKS.items():
        os.symlink(link, f"{dev}/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"{dev}/{name}", 0o755)
    _mount_terminals(f"{dev}/pts")
    mount("shm", f"{dev}/shm", "tmpfs", _BARE, f"mode=1777,{_SMALL}")
    mount("mqueue", f"{dev}/mqueue", "mqueue", _BARE)


def _mount_terminals(target: str) -> None:
    options, flags = "newinstance,ptmxmode=0666,mode=0620", MS_NOSUID | MS_NOEXEC
    try:
        mount("devpts", target, "devpts", flags, f"{options},gid=5")
    except OSError as error:
        if error.errno != errno.EINVAL:  # where the user has no group 5
            raise
        mount("devpts", target, "devpts", flags, options)


def _fix(path: str) -> None:
    if os.path.lexists(path):
        bind(path, path)
        forbid(path, MOUNT_ATTR_RDONLY)


def _mask(path: str, nothing: str) -> None:
    if os.path.isdir(path):
        mount("tmpfs", path, "tmpfs", _BARE | MS_RDONLY, "size=0")
    elif os.path.lexists(path):
        bind(nothing, path)
        forbid(path, MOUNT_ATTR_RDONLY)


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack("16xH14x", fcntl.ioctl(any_socket, _GET_FLAGS, asked))
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _UP))
