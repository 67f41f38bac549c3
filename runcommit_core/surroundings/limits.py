"""Whether a rootless engine on this machine can limit memory and processors."""

from __future__ import annotations

import os
from pathlib import Path

from runcommit_core.interface.values import Lack

_TOP = Path("/sys/fs/cgroup")
_CONTROLLERS = {"memory": "memory", "cpus": "cpu"}


def rootless_limits(engine: str, *, top: Path = _TOP) -> list[Lack]:
    """The limits that an unprivileged user's engine would pass over in silence, as its lacks."""
    if os.geteuid() == 0:
        return []
    if not (top / "cgroup.controllers").exists():
        return [
            Lack(
                option,
                f"rootless {engine} cannot keep to --{option} with version 1 of cgroups",
                "boot with systemd.unified_cgroup_hierarchy=1, or run as root",
            )
            for option in _CONTROLLERS
        ]
    delegated = _delegated(top)
    return [
        Lack(
            option,
            f"rootless {engine} cannot keep to --{option}: the cgroup controller "
            f"{controller} is not delegated to the user",
            "as root: systemctl edit user@.service, add [Service] Delegate=cpu memory pids, "
            "then log in anew; or run as root",
        )
        for option, controller in _CONTROLLERS.items()
        if controller not in delegated
    ]


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
