from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from runcommit_core.cachedir import cache_dir
from runcommit_core.errors import ArchiveError
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.oci.regions import digest_of, open_layer, open_region, verified
from runcommit_core.tar.digests import DiffId, Digest
from tests import images

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 4000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(DATA)
    return path


def test_a_region_is_bounded(file: Path) -> None:
    with open_region(FileRegion(file, 1000, 700_000)) as stream:
        assert stream.read() == DATA[1000:701_000]
        assert stream.read(1) == b""


def test_a_region_can_be_sought(file: Path) -> None:
    with open_region(FileRegion(file, 1000, 700_000)) as stream:
        assert stream.seekable()
        assert stream.seek(-3, io.SEEK_END) == 699_997
        assert stream.read() == DATA[700_997:701_000]
        stream.seek(5)
        assert stream.read(2) == DATA[1005:1007]
        assert stream.tell() == 7


def test_a_region_beyond_the_end_is_an_error(file: Path) -> None:
    with open_region(FileRegion(file, 1000, len(DATA))) as stream, pytest.raises(ArchiveError):
        stream.read()


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz"])
def test_a_region_of_a_compressed_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(images.compress(DATA, kind))
    with open_region(FileRegion(path, 1000, 700_000, Compression(kind))) as stream:
        assert not stream.seekable()
        assert stream.read() == DATA[1000:701_000]
    with pytest.raises(ArchiveError, match="ends at byte"):
        open_region(FileRegion(path, len(DATA) + 1, 1, Compression(kind)))


def test_a_region_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="No such file"):
        open_region(FileRegion(tmp_path / "none", 0, 1))


def test_a_layer_without_bytes() -> None:
    layer = BaseLayer(DiffId("sha256:1"), Digest("sha256:2"), 3, "x", Compression.NONE, None)
    with pytest.raises(ArchiveError, match="engine alone"):
        open_layer(layer)


def test_verified_bytes_pass() -> None:
    with verified(io.BytesIO(DATA), Digest(images.digest(DATA)), len(DATA)) as stream:
        assert stream.read() == DATA


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (DATA + b"x", "more than"),
        (DATA[:-1], "instead of"),
        (DATA[:-1] + b"x", "have the digest"),
    ],
)
def test_other_bytes_are_an_error_that_names_them(data: bytes, reason: str) -> None:
    source = io.BytesIO(data)
    with (
        verified(source, Digest(images.digest(DATA)), len(DATA), name="the blob") as stream,
        pytest.raises(ArchiveError, match=f"the blob: .*{reason}"),
    ):
        stream.read()
    assert source.closed


def test_digest_of_a_stream() -> None:
    assert digest_of(io.BytesIO(DATA)) == (images.digest(DATA), len(DATA))


def test_cache_dir_is_chosen_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RUNCOMMIT_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == tmp_path / "home/.cache/runcommit"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg/runcommit"
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
