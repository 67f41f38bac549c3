"""Whom the scratch backend runs a command as: the base's own files say which ids a name has."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from runcommit_core import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_NAME, _ID, _GROUP, _MEMBERS, _HOME = 0, 2, 3, 3, 5


class Account(NamedTuple):
    """A user inside of a root; ``groups`` are those besides ``gid``."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def account(root: Path, wanted: str) -> Account:
    """The ids of ``USER[:GROUP]``, each a name or a number, as docker finds them.

    Raises UsageError for a name that the root does not know.
    """
    name, _, group = (wanted or "0").partition(":")
    groups = _rows(root, "group", 4)
    row = next((row for row in _rows(root, "passwd", 7) if name in (row[_NAME], row[_ID])), None)
    if row is None and not name.isdigit():
        raise UsageError(f"the base has no user {name!r}", tip="choose another with --user")
    uid, home = (int(row[_ID]), row[_HOME] or "/") if row else (int(name), "/")
    if group:
        return Account(uid, _group_id(groups, group), (), home)
    more = [int(each[_ID]) for each in groups if row and row[_NAME] in each[_MEMBERS].split(",")]
    return Account(uid, int(row[_GROUP]) if row else 0, tuple(more), home)


def _group_id(groups: list[list[str]], wanted: str) -> int:
    row = next((row for row in groups if wanted in (row[_NAME], row[_ID])), None)
    if row is None and not wanted.isdigit():
        raise UsageError(f"the base has no group {wanted!r}", tip="choose another with --user")
    return int(row[_ID]) if row else int(wanted)


def _rows(root: Path, name: str, fields: int) -> list[list[str]]:
    path = root / "etc" / name
    if not path.is_file() or path.resolve() != root.resolve() / "etc" / name:
        return []
    rows = [line.split(":") for line in path.read_text(errors="replace").splitlines()]
    return [row for row in rows if len(row) == fields]
