"""Whether a rootless engine on this machine can limit memory and processors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from runcommit_core.model import RunOptions

_TOP = Path("/sys/fs/cgroup")


def check_rootless_limits(run: RunOptions, engine: str, *, top: Path = _TOP) -> None:
    """Refuse limits that an unprivileged user's engine would pass over in silence; UsageError."""
    wanted = {"memory": bool(run.memory), "cpu": bool(run.cpus)}
    if os.geteuid() == 0 or not any(wanted.values()):
        return
    options = " and ".join(
        option for option, given in (("--memory", run.memory), ("--cpus", run.cpus)) if given
    )
    if not (top / "cgroup.controllers").exists():
        raise UsageError(
            f"rootless {engine} cannot keep to {options} with version 1 of cgroups",
            tip="boot with systemd.unified_cgroup_hierarchy=1, or run as root",
        )
    delegated = _delegated(top)
    missing = [name for name, given in wanted.items() if given and name not in delegated]
    if missing:
        raise UsageError(
            f"rootless {engine} cannot keep to {options}: the cgroup controllers "
            f"{' and '.join(missing)} are not delegated to the user",
            tip="as root: systemctl edit user@.service, add [Service] Delegate=cpu memory pids, "
            "then log in anew; or run as root",
        )


def _delegated(top: Path) -> set[str]:
    """The controllers that the user's own systemd may hand on."""
    user = os.getuid()
    place = top / f"user.slice/user-{user}.slice/user@{user}.service"
    for folder in (place, top / _own_cgroup()):
        try:
            return set((folder / "cgroup.controllers").read_text().split())
        except OSError:
            continue
    return set()


def _own_cgroup() -> str:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::")), "")
