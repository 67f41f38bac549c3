"""Who a command runs as, and what it finds in its environment, for engines that leave it to us."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.files.reading import read_files
from runcommit_core.oci.config import image_config
from runcommit_core.records import record

if TYPE_CHECKING:
    from runcommit_core.interface.job import Job

_NAME, _ID, _GROUP, _HOME, _MEMBERS = 0, 2, 3, 5, 3
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_USERS, _GROUPS = "/etc/passwd", "/etc/group"

_Rows = list[list[str]]


@record(kw_only=True)
class Identity:
    """The ids of a command's process, and its user's home directory."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


def identity_of(job: Job) -> Identity:
    """What ``job.run.user``, a ``USER[:GROUP]`` of names or numbers, is in the base; root if empty.

    A group that is given is the only one; else there are those whose member the user is.

    Raises UsageError: the base has no user or group of that name
    """
    name, _, group = (job.run.user or "0").partition(":")
    files = read_files(job, (_USERS, _GROUPS))
    users, groups = _rows(files.get(_USERS, b""), 7), _rows(files.get(_GROUPS, b""), 4)
    row = _found(users, name, "user")
    uid, gid, home = (int(row[_ID]), int(row[_GROUP]), row[_HOME]) if row else (int(name), 0, "")
    if group:
        group_id = _found(groups, group, "group")
        return Identity(uid=uid, gid=int(group_id[_ID] if group_id else group), home=home or "/")
    more = [int(each[_ID]) for each in groups if row and row[_NAME] in each[_MEMBERS].split(",")]
    return Identity(uid=uid, gid=gid, groups=tuple(more), home=home or "/")


def run_environment(
    job: Job, *, home: str = "/root", hostname: str = "runcommit"
) -> dict[str, str]:
    """All that the command finds there: what every container has, the base's, and the run's."""
    base = image_config(job.base.config).env
    own = {"PATH": _PATH, "HOME": home, "HOSTNAME": hostname}
    return own | dict(item.partition("=")[::2] for item in base) | dict(job.run.env)


def _found(rows: _Rows, wanted: str, what: str) -> list[str] | None:
    """The row of a name, else of a number; None for a number that nobody has."""
    for place in (_NAME, _ID):
        for row in rows:
            if row[place] == wanted:
                return row
    if not wanted.isdecimal():
        raise UsageError(f"the base has no {what} {wanted!r}", tip="choose another with --user")
    return None


def _rows(text: bytes, fields: int) -> _Rows:
    rows = [line.split(":") for line in text.decode(errors="replace").splitlines()]
    return [row for row in rows if len(row) == fields and row[_ID].isdecimal()]
