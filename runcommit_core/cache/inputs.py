"""The digest of an input: a file or a directory with all that a command can see of it."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


def tree_digest(source: str | os.PathLike[str], epoch: int) -> str:
    """The sha256 over names, types, modes, owners, contents, links and xattrs of ``source``.

    Times count as far as a copy of them could reach the layer: not beyond ``epoch``.

    Raises UsageError: something cannot be read
    """
    hasher = hashlib.sha256()
    top = os.path.realpath(os.fsencode(source))
    names: dict[tuple[int, int], bytes] = {}
    try:
        for below, path in _walk(top):
            status = os.lstat(path)
            facts = (stat.S_IFMT(status.st_mode), stat.S_IMODE(status.st_mode), status.st_uid)
            time = min(int(status.st_mtime), epoch)
            hasher.update(b"%d:%b" % (len(below), below))
            hasher.update(repr((*facts, status.st_gid, time)).encode())
            hasher.update(_xattrs(path))
            first = names.setdefault((status.st_dev, status.st_ino), below)
            # a second name is told by the first: a copy of the tree can keep them one file
            hasher.update(_content(path, status) if first is below else b"=%b" % first)
    except OSError as error:
        raise UsageError(f"cannot read the input {os.fsdecode(source)}: {error}") from error
    return hasher.hexdigest()


def _walk(top: bytes) -> Iterator[tuple[bytes, bytes]]:
    pending = [(b"", top)]
    while pending:
        below, path = pending.pop()
        yield below, path
        if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114 - bytes
            names = sorted(os.listdir(path), reverse=True)  # noqa: PTH208 - bytes
            pending += [(below + b"/" + name, path + b"/" + name) for name in names]


def _xattrs(path: bytes) -> bytes:
    """What ``cp -a`` can take along; a label of SELinux tells where a file lies, not what it is."""
    try:
        names = sorted(os.listxattr(path, follow_symlinks=False))
        counted = [name for name in names if name != "security.selinux"]
        attributes = [(name, os.getxattr(path, name, follow_symlinks=False)) for name in counted]
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.ENODATA):
            return b""
        raise
    return repr(attributes).encode(errors="surrogateescape") if attributes else b""


def _content(path: bytes, status: os.stat_result) -> bytes:
    if stat.S_ISLNK(status.st_mode):
        link = os.readlink(path)  # noqa: PTH115 - bytes
        return b"%d:%b" % (len(link), link)
    if not stat.S_ISREG(status.st_mode):
        return b"%d" % status.st_rdev
    hasher = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - bytes
        while chunk := file.read(_CHUNK):
            hasher.update(chunk)
    return hasher.digest()
