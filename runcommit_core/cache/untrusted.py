"""Files that somebody else may have put there: to open one leads nowhere and waits for nothing."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path

_OPENING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class DamagedEntryError(Exception):
    """A stored result is not what was stored."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file in a folder, neither of which may be a link.

    Raises DamagedEntryError: there is something else in its place
    Raises OSError: it is not there, or cannot be read
    """
    try:
        folder = os.open(path.parent, os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:
        if os.path.lexists(path.parent):
            raise DamagedEntryError(f"{path.parent.name} is no folder") from error
        raise
    try:
        # looked at before it is opened, since to open a device does something
        _check(os.stat(path.name, dir_fd=folder, follow_symlinks=False), path)
        descriptor = os.open(path.name, _OPENING, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise DamagedEntryError(f"{path.name} is no file") from error
        raise
    finally:
        os.close(folder)
    file = os.fdopen(descriptor, "rb")
    try:
        _check(os.fstat(descriptor), path)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most ``limit`` bytes; raises as :func:`open_regular`."""
    with open_regular(path) as file:
        data = b"" if os.fstat(file.fileno()).st_size > limit else file.read(limit + 1)
        if len(data) > limit or os.fstat(file.fileno()).st_size > limit:
            raise DamagedEntryError(f"{path.name} has more than {limit} bytes")
        return data


def _check(status: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DamagedEntryError(f"{path.name} is no file")
