"""Sparse files in PAX archives, formats 0.0, 0.1 and 1.0, as GNU tar and bsdtar write them.

Source: GNU tar's manual, "Storing Sparse Files"; what is malformed is what Go's ``archive/tar``
refuses, by which every engine reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from runcommit_core.tar.entry import MAX_NUMBER, SPARSE_MAP, MalformedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from runcommit_core.tar.entry import Segment

MAX_SIZE: Final = 1 << 40
"""A sparse file above 1 TiB is refused: engines write out every one of its zeros."""

_MAX_MAP = 1 << 20
_PREFIX = b"GNU.sparse."
_BLOCK = 512
_ZEROS = bytes(1 << 17)


class Sparse(NamedTuple):
    """What the records say: ``name`` is empty where the header's own holds."""

    name: bytes
    size: int
    segments: tuple[Segment, ...]


def read_sparse(
    records: Mapping[bytes, bytes], size: int, take: Callable[[], bytes]
) -> Sparse | None:
    """Read the map of a file of which ``size`` bytes are stored; None if it is not sparse.

    ``take`` reads the next block of the content, where a map of version 1.0 is.

    Raises MalformedError: a map that contradicts itself or the sizes
    """
    version = _version(records)
    if not version:
        return None
    whole = _number(records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize"), size)
    if version == b"1.0":
        numbers, taken = _map_in_content(size, take)
    else:
        numbers, taken = _map_in_records(records), 0
    segments = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    _check(segments, whole, size - taken)
    return Sparse(records.get(b"GNU.sparse.name", b""), whole, segments)


def expanded(segments: Sequence[Segment], size: int, stored: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a whole sparse file: the stored bytes in their places, zeros between them."""
    at = 0
    rest = b""
    for offset, length in segments:
        yield from _zeros(offset - at)
        at = offset
        end = offset + length
        while at < end:
            rest = rest or next(stored)
            piece, rest = rest[: end - at], rest[end - at :]
            at += len(piece)
            yield piece
    yield from _zeros(size - at)


def _version(records: Mapping[bytes, bytes]) -> bytes:
    """Tell the version; empty for a file that is not sparse, or in a version nobody knows."""
    version = b"%b.%b" % (
        records.get(b"GNU.sparse.major", b""),
        records.get(b"GNU.sparse.minor", b""),
    )
    if version == b".":
        return b"0.1" if records.get(SPARSE_MAP) else b""
    return version if version in (b"0.0", b"0.1", b"1.0") else b""


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[:count]
        count -= len(_ZEROS)


def _number(text: bytes | None, otherwise: int) -> int:
    if not text:
        return otherwise
    if not text.isdigit() or len(text) > len(str(MAX_NUMBER)) or int(text) > MAX_NUMBER:
        raise MalformedError(f"malformed number {text[:32]!r} of a sparse file")
    return int(text)


def _map_in_records(records: Mapping[bytes, bytes]) -> list[int]:
    text = records.get(SPARSE_MAP, b"")
    numbers = [_number(part or b"-", 0) for part in text.split(b",")] if text else []
    if len(numbers) != 2 * _number(records.get(b"GNU.sparse.numblocks") or b"-", 0):
        raise MalformedError("the map of a sparse file has another length than it says")
    return numbers


def _map_in_content(size: int, take: Callable[[], bytes]) -> tuple[list[int], int]:
    text = b""
    wanted = 1
    while text.count(b"\n") < wanted:
        if len(text) >= min(size, _MAX_MAP):
            raise MalformedError("the map of a sparse file has no end")
        text += take()
        if wanted == 1 and b"\n" in text:
            wanted += 2 * _number(text.partition(b"\n")[0] or b"-", 0)
    lines = text.split(b"\n", wanted)[1:wanted]
    return [_number(line or b"-", 0) for line in lines], len(text)


def _check(segments: Sequence[Segment], size: int, stored: int) -> None:
    at = 0
    for offset, length in segments:
        if offset < at or offset + length > size:
            raise MalformedError("the segments of a sparse file overlap or lie beyond its end")
        at = offset + length
    if sum(length for _, length in segments) != stored:
        raise MalformedError("the segments of a sparse file are not what is stored of it")
    if size > MAX_SIZE:
        raise MalformedError(f"a sparse file of {size} bytes, above 1 TiB")
