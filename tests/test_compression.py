from __future__ import annotations

import gzip
import io
import os
import sys

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import SNIFF_LENGTH, open_decompressed, sniff
from runcommit_core.oci.model import Compression
from tests import images

DATA = os.urandom(200_000) + b"x" * 1_000_000
COMPRESSED = [Compression.GZIP, Compression.ZSTD, Compression.XZ, Compression.BZIP2]


@pytest.fixture(params=COMPRESSED)
def kind(request: pytest.FixtureRequest) -> Compression:
    return Compression(request.param)


@pytest.fixture(params=["isal", "zlib"])
def gzip_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "isal", None)


def read(data: bytes, kind: Compression) -> bytes:
    with open_decompressed(io.BytesIO(data), kind, name="some.tar") as stream:
        return stream.read()


def refused(data: bytes, kind: Compression) -> str:
    with pytest.raises(ArchiveError) as caught:
        read(data, kind)
    return str(caught.value)


@pytest.mark.parametrize("content", [DATA, b""])
def test_magic_bytes_tell_the_compression(kind: Compression, content: bytes) -> None:
    assert sniff(images.compress(content, kind)[:SNIFF_LENGTH]) is kind


@pytest.mark.parametrize(
    "head", [b"", b"\x1f", b"BZh9 is a name", b"BZh91AY", b"PK\x03\x04", bytes(10)]
)
def test_other_bytes_are_not_compressed(head: bytes) -> None:
    assert sniff(head) is Compression.NONE


def test_zstd_may_begin_with_a_skippable_frame() -> None:
    data = b"\x53\x2a\x4d\x18\x03\0\0\0abc" + images.compress(b"content", "zstd")
    assert sniff(data[:SNIFF_LENGTH]) is Compression.ZSTD
    assert read(data, Compression.ZSTD) == b"content"


def test_uncompressed_stream_is_given_back() -> None:
    stream = io.BytesIO(b"plain")
    assert open_decompressed(stream, Compression.NONE) is stream


def test_members_follow_one_another(kind: Compression) -> None:
    data = images.compress(DATA, kind)
    assert read(data + images.compress(b"", kind) + data, kind) == DATA + DATA


def test_zero_padding_is_tolerated(kind: Compression) -> None:
    assert read(images.compress(DATA, kind) + bytes(100_000), kind) == DATA


@pytest.mark.parametrize("junk", [b"junk", b"\0junk", bytes(100_000) + b"j"])
def test_junk_after_the_last_member_is_an_error(kind: Compression, junk: bytes) -> None:
    message = refused(images.compress(DATA, kind) + junk, kind)
    assert "some.tar" in message
    assert "belong to no member" in message


@pytest.mark.parametrize("kept", [0, 100, -1])
def test_truncation_is_an_error(kind: Compression, kept: int) -> None:
    assert "truncated" in refused(images.compress(DATA, kind)[:kept], kind)


def test_truncated_second_member_is_an_error(kind: Compression) -> None:
    data = images.compress(DATA, kind)
    assert "truncated" in refused(data + data[: len(data) // 2], kind)


@pytest.mark.usefixtures("gzip_library")
@pytest.mark.parametrize("from_end", [8, 1])
def test_gzip_check_sum_and_length_are_checked(from_end: int) -> None:
    data = bytearray(images.compress(DATA, "gzip"))
    data[-from_end] ^= 1
    assert "corrupt" in refused(bytes(data), Compression.GZIP)


@pytest.mark.usefixtures("gzip_library")
def test_every_gzip_library_reads_all_members_in_small_pieces() -> None:
    data = b"".join(gzip.compress(bytes([place]) * 300) for place in range(200))
    stream = open_decompressed(io.BytesIO(data), Compression.GZIP)
    pieces = iter(lambda: stream.read(7), b"")
    assert b"".join(pieces) == b"".join(bytes([place]) * 300 for place in range(200))


@pytest.mark.parametrize("kind", [Compression.XZ, Compression.BZIP2])
def test_damage_in_the_middle_is_an_error(kind: Compression) -> None:
    data = bytearray(images.compress(DATA, kind))
    data[len(data) // 2] ^= 0xFF
    assert "corrupt" in refused(bytes(data), kind)


def test_closing_closes_what_was_opened() -> None:
    stream = io.BytesIO(images.compress(DATA, "gzip"))
    open_decompressed(stream, Compression.GZIP).close()
    assert stream.closed


def test_a_bomb_is_read_piece_by_piece() -> None:
    stream = open_decompressed(
        io.BytesIO(images.compress(bytes(50_000_000), "gzip")), Compression.GZIP
    )
    assert stream.read(10) == bytes(10)
    assert stream.read1(1_000_000_000).count(0) < 2_000_000  # type: ignore[attr-defined]
    stream.close()
