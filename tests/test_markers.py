"""Telling engines' whiteouts from files that a command has named like them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.index.index import BaseIndex
from runcommit_core.layer.changes import TarChanges
from runcommit_core.layer.markers import check_markers, marker_in
from tests.tars import Member, diff_id, directory, symlink, tar

if TYPE_CHECKING:
    from pathlib import Path

BASE = tar(directory(b"d"), Member(b"d/f"), Member(b"top"))
D = directory(b"d", 0o711, uid=7)


def check(folder: Path, *layers: list[Member]) -> None:
    index = BaseIndex(folder)
    index.add(diff_id(BASE), io.BytesIO(BASE))
    tars = [tar(*members) for members in layers]
    changes = [TarChanges(lambda data=data: io.BytesIO(data), name="raw") for data in tars]
    with index.tree([diff_id(BASE)]) as tree:
        check_markers(changes, tree)


@pytest.mark.parametrize(
    "layer",
    [
        [Member(b"d/.wh.f", mode=0)],
        [Member(b"d/.wh.f", mode=0o600, link=b".wh.top")],
        [Member(b".wh.top", mode=0o100600)],
        [Member(b"etc/.wh.mtab", mode=0o600)],
        [D, Member(b"d/.wh..wh..opq", mode=0o711, uid=7)],
        [directory(b"d"), Member(b"d/.wh..wh..opq", mode=0)],
    ],
    ids=["storage", "docker", "type-bits", "docker-init", "opaque", "opaque-plain"],
)
def test_what_engines_write_is_taken(tmp_path: Path, layer: list[Member]) -> None:
    check(tmp_path, layer)


def test_a_file_of_an_earlier_new_layer_can_be_deleted(tmp_path: Path) -> None:
    check(tmp_path, [Member(b"new")], [Member(b".wh.new", mode=0)])


@pytest.mark.parametrize(
    "layer",
    [
        [Member(b"d/.wh.f", mode=0o644)],
        [Member(b"d/.wh.f", mode=0, content=b"x")],
        [Member(b"d/.wh.f", mode=0, uid=1000)],
        [Member(b"d/.wh.f", mode=0o600, pax={b"SCHILY.xattr.user.a": b"b"})],
        [Member(b"d/.wh.nothing", mode=0)],
        [directory(b"d/.wh.f", 0)],
        [symlink(b"d/.wh.f", b"top")],
        [D, Member(b"d/.wh..wh..opq", mode=0o644, uid=7)],
        [D, Member(b"d/.wh..wh..opq", mode=0o711)],
        [Member(b".wh..wh.aufs", mode=0)],
    ],
    ids=["mode", "content", "owner", "xattr", "of-nothing", "directory", "symlink",
         "opaque-mode", "opaque-owner", "aufs"],
)  # fmt: skip
def test_what_no_engine_writes_is_refused(tmp_path: Path, layer: list[Member]) -> None:
    with pytest.raises(ArchiveError, match="means a deletion") as caught:
        check(tmp_path, layer)
    assert ".wh." in str(caught.value)
    assert "rename" in caught.value.tip


@pytest.mark.parametrize(
    "words",
    [
        "open /data/overlay2/8d02/merged/data/.wh.kept: no such file or directory",
        "Error: reading blob sha256:97: open /s/diff/data/.wh.kept: no such file or directory",
        "tar file(exit status 1): link /data/.wh.kept /data/kept: no such file or directory",
    ],
)
def test_an_engine_that_stumbles_is_understood(words: str) -> None:
    found = marker_in(words)
    assert found is not None
    assert ".wh.kept" in str(found)


def test_other_failures_are_left_alone() -> None:
    assert marker_in("open /data/kept: no such file or directory") is None
    assert marker_in("write /data/.wh.kept: no space left on device") is None
