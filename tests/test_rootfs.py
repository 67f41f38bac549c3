"""A root compared with its base: nothing is taken for equal that is not."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.index.index import BaseIndex
from runcommit_core.layer.raw import write_changes
from runcommit_core.layer.rootfs import RootChanges
from tests.filelists import deep_directories
from tests.layers import listing
from tests.tars import Member, diff_id, directory, hardlink, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.index.basetree import BaseTree

OLD = 1_600_000_000
MINE = {"uid": os.getuid(), "gid": os.getgid()}
BASE = (
    directory(b"d", **MINE),
    Member(b"d/f", content=b"old", **MINE),
    Member(b"d/g", content=b"old", **MINE),
    hardlink(b"d/h", b"d/g", **MINE),
    Member(b"ancient", mtime=-5, **MINE),
)


class Ground(NamedTuple):
    root: Path
    tree: BaseTree

    def changes(self) -> RootChanges:
        return RootChanges(self.root, self.tree)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    """The base and a root that equals it, as an engine unpacks it."""
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    for name in ("d/f", "d/g"):
        write(root / name, "old", OLD)
    (root / "d/h").hardlink_to(root / "d/g")
    write(root / "ancient", "", 0)
    data = tar(*BASE)
    index = BaseIndex(tmp_path / "cache")
    index.add(diff_id(data), io.BytesIO(data))
    with index.tree([diff_id(data)]) as tree:
        yield Ground(root, tree)


def write(path: Path, text: str, mtime: float) -> None:
    path.write_text(text)
    path.chmod(0o644)
    os.utime(path, (mtime, mtime))


def test_an_equal_root_has_no_changes(ground: Ground) -> None:
    found = ground.changes()
    assert (found.entries, found.whiteouts, found.warnings) == ({}, set(), [])


def test_a_root_may_be_deeper_than_python_calls(ground: Ground) -> None:
    with deep_directories(ground.root / "deep") as depth:
        entries = ground.changes().entries
    assert sum(path.startswith(b"deep") for path in entries) == depth


def test_an_edit_of_the_same_size_and_time_is_found(ground: Ground) -> None:
    write(ground.root / "d/f", "new", OLD)
    found = ground.changes()
    assert list(found.entries) == [b"d/f"]
    assert b"".join(found.content(found.entries[b"d/f"])) == b"new"


def test_what_is_gone_is_deleted(ground: Ground) -> None:
    (ground.root / "d/f").unlink()
    (ground.root / "ancient").unlink()
    assert ground.changes().whiteouts == {b"d/f", b"ancient"}


def test_a_socket_is_left_out_and_hides_what_it_replaced(ground: Ground) -> None:
    (ground.root / "d/f").unlink()
    here = Path.cwd()
    os.chdir(ground.root)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("d/f")
    finally:
        os.chdir(here)
    found = ground.changes()
    assert (found.entries, found.whiteouts) == ({}, {b"d/f"})
    assert "socket" in found.warnings[0]


def test_a_group_of_hardlinks_is_taken_whole(ground: Ground) -> None:
    (ground.root / "new").hardlink_to(ground.root / "d/g")
    found = ground.changes()
    assert sorted(found.entries) == [b"d/g", b"d/h", b"new"]
    assert found.entries[b"new"].link == b"d/g"


def test_half_a_second_is_no_change(ground: Ground) -> None:
    os.utime(ground.root / "d/f", (OLD, OLD + 0.5))
    assert ground.changes().entries == {}


def test_names_that_mean_deletions_are_refused(ground: Ground) -> None:
    (ground.root / "d/.wh.f").touch()
    with pytest.raises(
        ArchiveError, match=r"made d/\.wh\.f; in a layer that name means a deletion"
    ):
        ground.changes()


def test_sockets_are_told_of(ground: Ground) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(ground.root / "d/log"))
    assert any(line.startswith("d/log is a socket") for line in ground.changes().warnings)


def test_changes_become_a_raw_layer(ground: Ground) -> None:
    (ground.root / "d/f").unlink()
    write(ground.root / "d/g", "other", OLD)
    output = io.BytesIO()
    assert write_changes(ground.changes(), output) == diff_id(output.getvalue())
    assert [(item.name, item.type, item.link) for item in listing(output.getvalue())] == [
        ("d/.wh.f", "0", ""),
        ("d/g", "0", ""),
        ("d/h", "1", "d/g"),
    ]
