"""As whom containers run here: root, or a user with subordinate ids; what else there is not."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
from pathlib import Path
from typing import NamedTuple

_PROGRAMS = ("newuidmap", "newgidmap")
_FILES = (Path("/etc/subuid"), Path("/etc/subgid"))
_ALL_IDS = ["0", "0", "4294967295"]
_SYS_ADMIN = 1 << 21
_FIELDS = 3


class Mode(NamedTuple):
    """``name`` for people, ``maps`` of ids for the helper program, ``problem`` if there is one."""

    name: str
    maps: str = "-"
    problem: str = ""

    @property
    def key(self) -> str:
        """A folder's name: files in the store have the ids of one mode."""
        return (
            "root" if self.maps == "-" else f"ids-{self.maps}".replace(",", "-").replace(":", "_")
        )


@functools.cache
def mode_here() -> Mode:
    """The best that this user can have on this machine; changes nothing."""
    if os.geteuid() == 0:
        return Mode("root", problem=_problem_of_root())
    maps, problem = _subordinate()
    return Mode("subordinate ids", maps, problem)


def _problem_of_root() -> str:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    effective = int(status.partition("CapEff:\t")[2].partition("\n")[0], 16)
    if not effective & _SYS_ADMIN:
        return "root may make no namespaces and mounts here, as in a container without privileges"
    if Path("/proc/self/uid_map").read_text(encoding="ascii").split() != _ALL_IDS:
        return "it does not run as the root of a user namespace, only as the machine's"
    return ""


def _subordinate() -> tuple[str, str]:
    """The maps for newuidmap and newgidmap, or why there are none."""
    if missing := [name for name in _PROGRAMS if not shutil.which(name)]:
        return "-", f"there is no {' and no '.join(missing)} (Debian: the package uidmap)"
    maps = []
    for path, own in zip(_FILES, (os.geteuid(), os.getegid()), strict=True):
        granted = _range(path)
        if granted is None:
            return "-", f"{path} gives this user no subordinate ids"
        maps.append(f"0,{own},1,1,{granted[0]},{granted[1]}")
    return ":".join(maps), _problem_of_namespaces()


def _problem_of_namespaces() -> str:
    most = Path("/proc/sys/user/max_user_namespaces")
    allowed = Path("/proc/sys/kernel/unprivileged_userns_clone")  # Debian's and Arch's own
    if most.exists() and most.read_text().strip() == "0":
        return f"this machine lets users make no namespaces ({most} is 0)"
    if allowed.exists() and allowed.read_text().strip() == "0":
        return f"this machine lets users make no namespaces ({allowed} is 0)"
    return ""


def _range(path: Path) -> tuple[int, int] | None:
    """The first range of this user's, as subuid(5) has it: by name or by number."""
    try:
        names = {pwd.getpwuid(os.geteuid()).pw_name, str(os.geteuid())}
    except KeyError:
        names = {str(os.geteuid())}
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    rows = [line.split(":") for line in lines]
    ranges = [row for row in rows if len(row) == _FIELDS and row[0] in names]
    return (int(ranges[0][1]), int(ranges[0][2])) if ranges else None
