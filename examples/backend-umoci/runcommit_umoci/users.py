"""Users by name: the base's own ``/etc/passwd`` and ``/etc/group`` say which ids they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from runcommit_core import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME, _ID, _GROUP, _HOME = 0, 2, 3, 5


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a command runs as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def identity(rootfs: Path, wanted: str) -> Identity:
    """The ids of ``USER[:GROUP]``, each a name or a number, as docker reads it; UsageError."""
    name, _, group = (wanted or "0").partition(":")
    users, groups = _rows(rootfs, "passwd", 7), _rows(rootfs, "group", 4)
    row = next((row for row in users if name in (row[_NAME], row[_ID])), None)
    if row is None and not name.isdigit():
        raise UsageError(f"the base has no user {name!r}", tip="choose another with --user")
    uid, gid, home = (int(row[_ID]), int(row[_GROUP]), row[_HOME]) if row else (int(name), 0, "/")
    if group:
        return Identity(uid, _group_id(groups, group), (), home)
    named = row[_NAME] if row else ""
    more = tuple(int(each[_ID]) for each in groups if named and named in each[3].split(","))
    return Identity(uid, gid, more, home or "/")


def _group_id(groups: list[list[str]], wanted: str) -> int:
    row = next((row for row in groups if wanted in (row[_NAME], row[_ID])), None)
    if row is None and not wanted.isdigit():
        raise UsageError(f"the base has no group {wanted!r}", tip="choose another with --user")
    return int(row[_ID]) if row else int(wanted)


def _rows(rootfs: Path, name: str, fields: int) -> list[list[str]]:
    """The rows of a file of the base's; a link could lead out of it and is not followed."""
    path = rootfs / "etc" / name
    if (rootfs / "etc").is_symlink() or path.is_symlink() or not path.is_file():
        return []
    rows = [line.split(":") for line in path.read_text(errors="replace").splitlines()]
    return [row for row in rows if len(row) == fields and row[_ID].isdigit()]
