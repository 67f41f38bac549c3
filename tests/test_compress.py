"""Compression of new layers: readable by everybody, the same bytes however many threads."""

from __future__ import annotations

import gzip
import hashlib
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import UsageError
from runcommit_core.oci import compress
from runcommit_core.oci.compress import UNCOMPRESSED, compress_file, parse_compression
from runcommit_core.oci.model import Compression
from tests.images import zstd

if TYPE_CHECKING:
    from pathlib import Path

READ = {"gzip": gzip.decompress, "zstd": zstd.decompress}
MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def data() -> bytes:
    """Words with noise between them, more than the blocks that are in work at once."""
    chance = random.Random(1)
    words = [chance.randbytes(chance.randint(2, 40)) for _ in range(500)]
    return b"".join(chance.choices(words, k=500_000))


@pytest.mark.parametrize("how", ["gzip", "gzip:1", "gzip:9", "zstd", "zstd:1", "zstd:19"])
@pytest.mark.parametrize("size", [0, 1, MEGABYTE, 5 * MEGABYTE + 7])
def test_others_read_it(tmp_path: Path, data: bytes, how: str, size: int) -> None:
    if how in {"zstd:19", "gzip:9"}:
        size = min(size, MEGABYTE)
    (tmp_path / "plain").write_bytes(data[:size])
    done = compress_file(tmp_path / "plain", tmp_path / "packed", parse_compression(how))
    packed = (tmp_path / "packed").read_bytes()
    assert READ[how.partition(":")[0]](packed) == data[:size]
    assert done.size == len(packed)
    assert done.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"


@pytest.mark.parametrize("how", ["gzip", "gzip:6", "zstd"])
def test_threads_do_not_show(
    tmp_path: Path, data: bytes, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_bytes(data)
    digests = set()
    for threads in (1, 2, 5):
        monkeypatch.setattr(compress, "_threads", lambda number=threads: number)
        done = compress_file(tmp_path / "plain", tmp_path / "packed", parse_compression(how))
        digests.add(done.digest)
    assert len(digests) == 1


def test_blocks_know_what_precedes_them(tmp_path: Path) -> None:
    noise = random.Random(2).randbytes(16 * 1024)
    (tmp_path / "plain").write_bytes(noise * 256)
    how = parse_compression("gzip:6")
    size = compress_file(tmp_path / "plain", tmp_path / "packed", how).size
    assert size < len(zlib.compress(noise)) * 3


def test_the_compressor_is_told(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"x")
    told = {
        how: compress_file(tmp_path / "plain", tmp_path / "packed", parse_compression(how))
        for how in ("gzip:4", "zstd:5")
    }
    assert told["gzip:4"].compressor == f"zlib {zlib.ZLIB_RUNTIME_VERSION} level 4"
    assert told["zstd:5"].compressor == f"zstd {zstd.zstd_version} level 5"


def test_names() -> None:
    assert parse_compression("none") == UNCOMPRESSED
    assert str(parse_compression("gzip")) == "gzip:2"
    assert parse_compression("zstd:7").kind is Compression.ZSTD


@pytest.mark.parametrize("text", ["", "xz", "gzip:", "gzip:0", "gzip:10", "zstd:x", "none:1", "²"])
def test_names_without_a_meaning(text: str) -> None:
    with pytest.raises(UsageError):
        parse_compression(text)
