"""Files on disk as entries of a layer."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from runcommit_core.tar.entry import NO_XATTRS
from runcommit_core.tar.reader import Kind, TarEntry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_KINDS: Final = {
    stat.S_IFREG: Kind.REGULAR,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHARACTER,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFIFO: Kind.FIFO,
}
_DEVICES = frozenset((Kind.CHARACTER, Kind.BLOCK))
_CHUNK = 1 << 20
_SECOND = 10**9


def disk_entry(
    name: bytes, path: bytes, status: os.stat_result, xattrs: Mapping[bytes, bytes]
) -> TarEntry | None:
    """The entry ``name`` for what stands at ``path``; None for a socket, which no tar can hold."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    device = status.st_rdev if kind in _DEVICES else 0
    return TarEntry(
        path=name,
        kind=kind,
        mode=stat.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        mtime=status.st_mtime_ns // _SECOND,
        link=os.readlink(path) if kind is Kind.SYMLINK else b"",  # noqa: PTH115 - bytes
        size=status.st_size if kind is Kind.REGULAR else 0,
        major=os.major(device),
        minor=os.minor(device),
        xattrs=xattrs,
        data_offset=0,
    )


def hardlink_to(master: bytes, entry: TarEntry) -> TarEntry:
    """The entry of a further name of the file whose first name is ``master``."""
    return entry._replace(kind=Kind.HARDLINK, link=master, size=0, xattrs=NO_XATTRS)


def read_xattrs(path: bytes) -> Mapping[bytes, bytes]:
    """All extended attributes of what stands at ``path`` itself."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError:
        # a file system without extended attributes has none
        return NO_XATTRS
    if not names:
        return NO_XATTRS
    return {os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names}


def read_chunks(path: bytes) -> Iterator[bytes]:
    """The content of a regular file."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - paths are bytes here
        while chunk := file.read(_CHUNK):
            yield chunk
