"""The upper directory of a finished overlay container, as one raw layer.

It holds exactly what the run changed, so neither the engine's commit nor its tar is needed.  Only
the real root may read it (``trusted.*`` attributes are invisible to others), or that of the user
namespace in which the overlay was mounted.

Source: the kernel's ``Documentation/filesystems/overlayfs.rst``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import EngineError
from runcommit_core.layer.disk import disk_entry, hardlink_to, read_chunks, read_xattrs
from runcommit_core.layer.losses import acl_warnings, has_acl, root_warnings, socket_warning
from runcommit_core.layer.markers import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.tar.reader import TarEntry

TRUSTED = b"trusted.overlay."
"""How the attributes of the overlay itself begin."""

USER = b"user.overlay."
"""The same on an overlay that was mounted in a user namespace."""

_CAP_SYS_ADMIN = 1 << 21
_ALL_IDS = ["0", "0", "4294967295"]
_CAPABILITIES = "CapEff:\t"


class UnreadableUpperError(EngineError):
    """The directory refers to content that is not in it, and engines compare naively then."""


class UpperChanges:
    """The changes that an upper directory holds; see ``Changes`` for the attributes.

    Raises UnreadableUpperError where the kernel recorded renames or metadata only, and
    ArchiveError for a file whose name says that it is a whiteout.  ``prefix`` is TRUSTED or USER.
    """

    def __init__(self, folder: Path, prefix: bytes = TRUSTED) -> None:
        self.name = f"the upper directory {folder}"
        self.entries: dict[bytes, TarEntry] = {}
        self.whiteouts: set[bytes] = set()
        self.opaques: set[bytes] = set()
        self.warnings: list[str] = root_warnings(folder)
        self._opaque = prefix + b"opaque"
        self._elsewhere = (prefix + b"redirect", prefix + b"metacopy")
        self._folder = os.fsencode(folder)
        self._masters: dict[int, bytes] = {}
        self._with_acls: list[bytes] = []
        self._walk()
        self.warnings += acl_warnings(self._with_acls)

    def content(self, entry: TarEntry) -> Iterator[bytes]:
        """The bytes of a regular file."""
        return read_chunks(self._folder + b"/" + entry.path)

    def _walk(self) -> None:
        """Take all files, each directory before what it holds, however deep that goes."""
        waiting = [(b"", iter(self._children(b"")))]
        while waiting:
            below, children = waiting[-1]
            if (item := next(children, None)) is None:
                waiting.pop()
                continue
            name = below + b"/" + item.name if below else item.name
            if self._add(name, item.path, item.stat(follow_symlinks=False)):
                waiting.append((name, iter(self._children(name))))

    def _children(self, below: bytes) -> list[os.DirEntry[bytes]]:
        with os.scandir(self._folder + b"/" + below) as children:
            return sorted(children, key=lambda item: item.name)

    def _add(self, name: bytes, path: bytes, status: os.stat_result) -> bool:
        """Take one file; tell whether it is a directory to go into."""
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            self.whiteouts.add(name)
            return False
        check_name(name)
        xattrs = read_xattrs(path)
        if any(key in xattrs for key in self._elsewhere):
            raise UnreadableUpperError(
                f"{self.name}: {name!r} refers to a lower layer",
                tip="turn redirect_dir and metacopy of the kernel's overlay module off",
            )
        entry = disk_entry(name, path, status, xattrs)
        if entry is None:
            self.warnings.append(socket_warning(name))
            self.whiteouts.add(name)
            return False
        if has_acl(xattrs):
            self._with_acls.append(name)
        if stat.S_ISDIR(status.st_mode):
            if xattrs.get(self._opaque) == b"y":
                self.opaques.add(name)
            self.entries[name] = entry
            return True
        if status.st_nlink > 1:
            master = self._masters.setdefault(status.st_ino, name)
            entry = entry if master == name else hardlink_to(master, entry)
        self.entries[name] = entry
        return False


def own_prefix() -> bytes:
    """How the attributes of overlays begin that are mounted where this process is."""
    return TRUSTED if can_read_uppers() else USER


def can_read_uppers() -> bool:
    """Whether this process is the real root: with CAP_SYS_ADMIN and all user ids its own."""
    if os.geteuid() != 0:
        return False
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
        ids = Path("/proc/self/uid_map").read_text(encoding="ascii").split()
    except OSError:
        return False
    effective = status.partition(_CAPABILITIES)[2].partition("\n")[0]
    return ids == _ALL_IDS and bool(int(effective or "0", 16) & _CAP_SYS_ADMIN)
