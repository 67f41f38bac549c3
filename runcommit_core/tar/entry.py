"""What stands in a tar header: kinds, numbers, PAX records, names.

Everything here works on bytes already read and raises :class:`MalformedError`, a bare reason;
:mod:`runcommit_core.tar.reader` adds the archive's name and the offset.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from runcommit_core.tar.whiteout import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PATH: Final = 4096
MAX_COMPONENT: Final = 255
MAX_NUMBER: Final = (1 << 63) - 1
NO_XATTRS: Final[Mapping[bytes, bytes]] = {}

_NO_RECORDS: Mapping[bytes, bytes] = {}
_PAX_TIME = re.compile(rb"(-?[0-9]{1,19})(?:\.([0-9]*))?")
_PAX_INTEGER = re.compile(rb"[0-9]{1,19}")
_XATTR_PREFIX = b"SCHILY.xattr."
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
SPARSE_MAP: Final = b"GNU.sparse.map"
_TEXT_KEYS = frozenset((b"path", b"linkpath", b"uname", b"gname"))


class Kind(enum.StrEnum):
    """What a path is; the values are ustar's typeflags."""

    REGULAR = "0"
    HARDLINK = "1"
    SYMLINK = "2"
    CHARACTER = "3"
    BLOCK = "4"
    DIRECTORY = "5"
    FIFO = "6"


Segment = tuple[int, int]


class TarEntry(NamedTuple):
    """One member of a tar: a tuple, because a layer holds 100,000 of them.

    ``mode`` has 12 bits, ``mtime`` counts whole seconds (floor, may be negative), ``size`` is 0
    for everything but regular files.  ``link`` is the raw target of a symlink and the normalised
    path of a hardlink's target.  ``data_offset`` counts from the start of the uncompressed tar.
    Of a sparse file, ``segments`` says where in the file (offset, length) the stored bytes belong,
    and ``size`` is that of the whole file.
    """

    path: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    link: bytes
    size: int
    major: int
    minor: int
    xattrs: Mapping[bytes, bytes]
    data_offset: int
    segments: tuple[Segment, ...] | None = None

    @property
    def stored_size(self) -> int:
        """As many bytes of content follow ``data_offset``, before the padding."""
        return self.size if self.segments is None else sum(length for _, length in self.segments)

    @property
    def end(self) -> int:
        """Where the next entry's headers begin in the uncompressed tar."""
        size = self.stored_size
        return self.data_offset + size + (-size & 511)


KINDS: Mapping[bytes, Kind] = {
    b"\0": Kind.REGULAR,
    b"7": Kind.REGULAR,
    **{kind.value.encode(): kind for kind in Kind},
}


class MalformedError(Exception):
    """A reason, raised where neither the archive's name nor the offset is known."""


class Meta:
    """What the extended headers before an entry said about it."""

    __slots__ = ("long_link", "long_name", "records", "seen")

    def __init__(self) -> None:
        self.records: Mapping[bytes, bytes] = _NO_RECORDS
        self.long_name = b""
        self.long_link = b""
        self.seen: set[bytes] = set()

    def add(self, flag: bytes, data: bytes) -> None:
        """Note one extended header; a global one (``g``) is parsed, then ignored."""
        if flag in self.seen:
            raise MalformedError(f"two extended headers of type {flag.decode()!r} for one entry")
        if flag == b"g":
            parse_pax(data)
            return
        self.seen.add(flag)
        if flag == b"L":
            self.long_name = data.partition(b"\0")[0]
        elif flag == b"K":
            self.long_link = data.partition(b"\0")[0]
        else:
            self.records = parse_pax(data)

    def name(self, name: bytes, key: bytes, long: bytes) -> bytes:
        """Choose the PAX record ``key``, else the GNU long name, else the header's own."""
        value = self.records.get(key, b"")
        if value and long:
            raise MalformedError(f"both PAX and GNU headers give a {key.decode()}")
        return value or long or name

    def number(self, key: bytes, number: int) -> int:
        """Choose the PAX record ``key``, else the header's own number."""
        value = self.records.get(key)
        if not value:
            return number
        if not _PAX_INTEGER.fullmatch(value) or int(value) > MAX_NUMBER:
            raise MalformedError(f"malformed PAX {key.decode()} {value!r}")
        return int(value)

    def mtime(self, mtime: int) -> int:
        """Choose the PAX record, rounded down to whole seconds, else the header's own time."""
        value = self.records.get(b"mtime")
        if not value:
            return mtime
        match = _PAX_TIME.fullmatch(value)
        if match is None or abs(int(match[1])) > MAX_NUMBER:
            raise MalformedError(f"malformed PAX mtime {value!r}")
        below_zero = value.startswith(b"-") and bool((match[2] or b"").strip(b"0"))
        return int(match[1]) - below_zero

    def xattrs(self) -> Mapping[bytes, bytes]:
        """Pick the extended attributes; as in Go an empty value means that there is none."""
        return {
            key[len(_XATTR_PREFIX) :]: value
            for key, value in self.records.items()
            if value and key.startswith(_XATTR_PREFIX) and key != _XATTR_PREFIX
        }


def unknown_flag(flag: bytes) -> str:
    """Say why an entry of this type is refused."""
    if flag == b"S":
        return "a sparse file of GNU tar's own format, which no engine unpacks; write it as PAX"
    return f"unknown typeflag {flag!r}"


def parse_number(field: bytes) -> int:
    """Read a numeric header field: octal digits, or GNU's base-256 where the first bit is set."""
    if field[0] & 0x80:
        number = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:])
        if field[0] & 0x40:
            number -= 1 << (8 * len(field) - 1)
        if abs(number) > MAX_NUMBER:
            raise MalformedError(f"number {field!r} out of range")
        return number
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if not digits.isdigit() or digits.strip(b"01234567"):
        raise MalformedError(f"malformed number {field!r}")
    return int(digits, 8)


def old_prefix(field: bytes) -> bytes:
    """Tell the times that GNU tar puts where others have a prefix from one of Go's before 1.8.

    Go wrote the prefix beside GNU's own numbers, and still reads it where the times are none.
    """
    try:
        for time in (field[:12], field[12:24]):
            parse_number(time)
    except MalformedError:
        prefix = field.partition(b"\0")[0]
        return prefix + b"/" if prefix and prefix.isascii() else b""
    return b""


def parse_pax(data: bytes) -> dict[bytes, bytes]:
    """Split an extended header into its records; the last of a key wins.

    A record is its own length in decimal, a space, ``key=value`` and a newline.  Of what GNU tar
    repeats to list the segments of a sparse file nothing is lost: it becomes one ``SPARSE_MAP``.
    """
    records: dict[bytes, bytes] = {}
    listed: list[bytes] = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space]
        if space < 0 or not digits.isdigit():
            raise MalformedError(f"malformed PAX record {data[position : position + 32]!r}")
        end = position + int(digits)
        key, equals, value = data[space + 1 : max(space + 1, end - 1)].partition(b"=")
        if end > len(data) or data[end - 1 : end] != b"\n" or end <= space or not equals or not key:
            raise MalformedError(f"malformed PAX record {data[position : position + 32]!r}")
        if b"\0" in key or (b"\0" in value and key in _TEXT_KEYS):
            raise MalformedError(f"NUL in PAX record {key!r}")
        if key in _SPARSE_PAIR:
            if key != _SPARSE_PAIR[len(listed) & 1] or b"," in value:
                raise MalformedError(f"malformed PAX record {key!r}")
            listed.append(value)
        records[key] = value
        position = end
    if listed:
        records[SPARSE_MAP] = b",".join(listed)
    return records


def normalise_path(path: bytes) -> bytes:
    """Drop empty and ``.`` components, resolve ``..`` by its name alone, as every engine does.

    A path that begins with ``/`` counts from the root like all others.

    Raises ValueError: ``path`` leads out of the root, is too long or has a too long component
    """
    is_absolute = path[:1] == b"/"
    if path[-1:] == b"/" or is_absolute:
        path = path.strip(b"/") if is_absolute else path.rstrip(b"/")
    elif path[:2] == b"./":
        path = path[2:]
    # Nearly every path is clean: a few searches of the whole spare the split.
    if path[:1] in b"./" or b"//" in path or b"/." in path:
        path = _resolved(path, is_absolute=is_absolute)
    if len(path) > MAX_COMPONENT:
        _check_lengths(path)
    return path


def _resolved(path: bytes, *, is_absolute: bool) -> bytes:
    components: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            if not components and not is_absolute:
                raise ValueError(f"'..' leads out of the root in the path {path!r}")
            del components[-1:]
        elif part not in (b"", b"."):
            components.append(part)
    return b"/".join(components)


def _check_lengths(path: bytes) -> None:
    if len(path) > MAX_PATH:
        raise ValueError(f"path of {len(path)} bytes, above {MAX_PATH}")
    # No file has the name of a whiteout, so it may be longer than a file's.
    if any(len(part.removeprefix(PREFIX)) > MAX_COMPONENT for part in path.split(b"/")):
        raise ValueError(f"path component above {MAX_COMPONENT} bytes in {path[:80]!r}…")


def entry_path(name: bytes, kind: Kind) -> bytes:
    """Check and normalise an entry's name; the root directory becomes ``b""``.

    Engines take a directory without a name for the root, too.
    """
    try:
        path = normalise_path(name)
    except ValueError as error:
        raise MalformedError(str(error)) from None
    if not path and kind is not Kind.DIRECTORY:
        raise MalformedError("an entry without a name")
    return path


def link_target(link: bytes, kind: Kind) -> bytes:
    """Check a link; a hardlink's target counts from the root, with or without a leading ``/``."""
    if len(link) > MAX_PATH:
        raise MalformedError(f"link name of {len(link)} bytes, above {MAX_PATH}")
    if kind is Kind.HARDLINK:
        try:
            link = normalise_path(link)
        except ValueError as error:
            raise MalformedError(str(error)) from None
    if not link:
        raise MalformedError("a link without a target")
    return link
