"""Compression of new layers: as fast as the machine allows, and the same bytes on all of its cores.

The work is cut into blocks of a fixed size, so the bytes depend on the compressor and its level
and never on how many threads there were.  gzip (RFC 1952): blocks that know the 32 KiB before them
and end on a byte, which together are one deflate stream (RFC 1951).  zstd (RFC 8878): the library's
own worker threads, even where there is but one.
"""

from __future__ import annotations

import os
import struct
import sys
import zlib
from hashlib import sha256
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from runcommit_core.errors import UsageError
from runcommit_core.oci.model import Compression
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BLOCK = 1024 * 1024
_WINDOW = 32 * 1024
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
"""No name, no time, no flags, an unknown operating system."""

_ISAL_LEVELS = range(1, 4)
_LEVELS = {Compression.GZIP: range(1, 10), Compression.ZSTD: range(1, 20)}
_DEFAULTS = {Compression.GZIP: 2, Compression.ZSTD: 3}


@record
class LayerCompression:
    """How new layers are stored; ``level`` is 0 where there is none."""

    kind: Compression = Compression.NONE
    level: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.level}" if self.level else str(self.kind)


UNCOMPRESSED = LayerCompression()


@record
class Compressed:
    """What was written: ``size`` bytes with the hash ``digest``; ``compressor`` pins them."""

    digest: Digest
    size: int
    compressor: str


def parse_compression(text: str) -> LayerCompression:
    """Read ``none``, ``gzip[:LEVEL]`` or ``zstd[:LEVEL]``; UsageError for anything else."""
    name, colon, level = text.partition(":")
    if text == Compression.NONE:
        return UNCOMPRESSED
    if name not in (Compression.GZIP, Compression.ZSTD):
        raise UsageError(
            f"there is no compression {text!r}", tip="choose none, gzip[:LEVEL] or zstd[:LEVEL]"
        )
    kind = Compression(name)
    levels = _LEVELS[kind]
    if colon and not (level.isascii() and level.isdigit() and int(level) in levels):
        raise UsageError(
            f"{kind} has no level {level!r}", tip=f"its levels are {levels[0]} to {levels[-1]}"
        )
    return LayerCompression(kind, int(level) if colon else _DEFAULTS[kind])


def compress_file(source: Path, place: Path, how: LayerCompression) -> Compressed:
    """Write ``source`` compressed to ``place``."""
    chunks, compressor = _compressor(how)
    hasher, size = sha256(), 0
    with source.open("rb") as plain, place.open("wb") as file:
        for chunk in chunks(plain):
            hasher.update(chunk)
            file.write(chunk)
            size += len(chunk)
    return Compressed(Digest(f"sha256:{hasher.hexdigest()}"), size, compressor)


def _compressor(how: LayerCompression) -> tuple[Callable[[BinaryIO], Iterator[bytes]], str]:
    """The compressor of that kind and level, and its name with version and level."""
    if how.kind is Compression.ZSTD:
        return _zstd(how.level)
    if how.level in _ISAL_LEVELS:
        try:
            import isal
            from isal import isal_zlib
        except ImportError:  # no wheel for this machine
            pass
        else:
            deflate = _deflate(isal_zlib.compressobj, how.level)
            return deflate, f"python-isal {isal.__version__} level {how.level}"
    version = zlib.ZLIB_RUNTIME_VERSION
    return _deflate(zlib.compressobj, how.level), f"zlib {version} level {how.level}"


def _deflate(new: Callable[..., Any], level: int) -> Callable[[BinaryIO], Iterator[bytes]]:
    def compress(block: bytes, before: bytes) -> bytes:
        options = {"zdict": before} if before else {}
        one = new(level=level, method=zlib.DEFLATED, wbits=-zlib.MAX_WBITS, **options)
        packed: bytes = one.compress(block) + one.flush(zlib.Z_SYNC_FLUSH)
        return packed

    def chunks(plain: BinaryIO) -> Iterator[bytes]:
        from concurrent.futures import ThreadPoolExecutor

        check = size = 0
        before = b""
        yield _GZIP_HEADER
        with ThreadPoolExecutor(_threads()) as pool:
            # a bounded number of blocks at a time: a layer need not fit into memory
            while blocks := list(islice(iter(lambda: plain.read(_BLOCK), b""), 4 * _threads())):
                tails = [before, *(block[-_WINDOW:] for block in blocks)]
                work = pool.map(compress, blocks, tails)
                for block in blocks:
                    check = zlib.crc32(block, check)
                    size += len(block)
                yield from work
                before = tails[-1]
        yield b"\x03\x00" + struct.pack("<II", check, size & 0xFFFFFFFF)

    return chunks


def _zstd(level: int) -> tuple[Callable[[BinaryIO], Iterator[bytes]], str]:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    parameters = zstd.CompressionParameter
    options: dict[int, int] = {
        parameters.compression_level: level,
        parameters.checksum_flag: 1,
        parameters.nb_workers: _threads(),
    }

    def chunks(plain: BinaryIO) -> Iterator[bytes]:
        one = zstd.ZstdCompressor(options=options)
        while block := plain.read(_BLOCK):
            yield one.compress(block)
        yield one.flush()

    return chunks, f"zstd {zstd.zstd_version} level {level}"


def _threads() -> int:
    return min(len(os.sched_getaffinity(0)), 16)
