"""How paths, kinds and sizes of layers are written for people and in JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runcommit_core.mouth.plain import one_line
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND_NAMES: Final[Mapping[Kind, str]] = {
    Kind.REGULAR: "file",
    Kind.HARDLINK: "hardlink",
    Kind.SYMLINK: "symlink",
    Kind.CHARACTER: "character device",
    Kind.BLOCK: "block device",
    Kind.DIRECTORY: "directory",
    Kind.FIFO: "fifo",
}

_UNITS = ("kB", "MB", "GB", "TB")
_STEP = 1000


def printable(path: bytes) -> str:
    """Write a path for people: no control character and no invalid UTF-8 reaches the terminal."""
    return one_line(path.decode(errors="backslashreplace"))


def json_path(path: bytes) -> str:
    """Write a path for JSON; bytes that are no UTF-8 become lone surrogates, as in Python."""
    return path.decode(errors="surrogateescape")


def size_text(size: int) -> str:
    """Write a number of bytes with three digits, in powers of 1000."""
    if size < _STEP:
        return f"{size} B"
    value = float(size)
    units = iter(_UNITS)
    unit = ""
    # what would be rounded up to the next unit is given in it
    while value >= _STEP - 0.5 and (larger := next(units, "")):
        value, unit = value / _STEP, larger
    return f"{value:#.3g} {unit}".replace(". ", " ")
