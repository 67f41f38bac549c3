"""What no layer can say is told, however a container's files are read."""

from __future__ import annotations

import io
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from runcommit_core.engine.untold import untold_in
from runcommit_core.index.index import BaseIndex
from runcommit_core.layer.rootfs import RootChanges
from runcommit_core.layer.upper import UpperChanges
from tests.tars import diff_id, tar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

_OWNER, _USER, _GROUP, _MASK, _OTHER, _NOBODY = 1, 2, 4, 16, 32, 0xFFFFFFFF
_ENTRIES = ((_OWNER, 6, _NOBODY), (_USER, 6, 1000), (_GROUP, 4, _NOBODY), (_MASK, 6, _NOBODY))
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry) for entry in (*_ENTRIES, (_OTHER, 4, _NOBODY))
)
"""``setfacl -m u:1000:rw``, as the kernel has it (``include/uapi/linux/posix_acl_xattr.h``)."""


@pytest.fixture
def upper(tmp_path: Path) -> Path:
    """A store with a lower and an upper directory, which has two files with lists and a socket."""
    for name in ("l/ONE", "container/diff/d"):
        (tmp_path / name).mkdir(parents=True)
    folder = tmp_path / "container/diff"
    folder.with_name("lower").write_text("l/ONE:l/TWO")
    for name in ("d/a", "d/b", "d/plain"):
        (folder / name).touch()
    for name in ("d/a", "d/b"):
        os.setxattr(folder / name, "system.posix_acl_access", ACL)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "d/s"))
    return folder


def of_upper(folder: Path) -> Sequence[str]:
    return UpperChanges(folder).warnings


def of_root(folder: Path) -> Sequence[str]:
    data = tar()
    index = BaseIndex(folder.parent / "cache")
    index.add(diff_id(data), io.BytesIO(data))
    with index.tree([diff_id(data)]) as tree:
        return RootChanges(folder, tree).warnings


def of_commit(folder: Path) -> Sequence[str]:
    return untold_in(folder).warnings


LISTS = "ACLs dropped from 2 paths, the first is d/a"


@pytest.mark.parametrize("read", [of_upper, of_root, of_commit])
def test_access_control_lists_are_told(read: Callable[[Path], Sequence[str]], upper: Path) -> None:
    assert [line for line in read(upper) if "is a socket" not in line] == [LISTS]


@pytest.mark.parametrize("read", [of_upper, of_commit])
def test_a_change_of_the_root_itself_is_told(
    read: Callable[[Path], Sequence[str]], upper: Path
) -> None:
    upper.chmod(0o711)
    assert any(line.startswith("/ itself was changed from 7") for line in read(upper))
    upper.with_name("lower").unlink()
    assert not any(line.startswith("/ itself") for line in read(upper))


def test_sockets_are_found_where_files_are_committed(upper: Path) -> None:
    assert untold_in(upper).sockets == (b"d/s",)
