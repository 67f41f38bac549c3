"""What engines need of this machine when they run without root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.interface.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Callable

_ENOUGH_IDS = 65536
_SYSCTLS: dict[Path, Callable[[int], bool]] = {
    Path("/proc/sys/user/max_user_namespaces"): lambda value: value > 0,
    Path("/proc/sys/kernel/unprivileged_userns_clone"): lambda value: value == 1,
    Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"): lambda value: value == 0,
}


def rootless_findings() -> list[Finding]:
    """Check what a rootless engine needs; nothing to check for root."""
    if os.geteuid() == 0:
        return []
    name = _user()
    return [
        _namespaces(),
        _mappers(),
        _subordinate("subuid", name),
        _subordinate("subgid", name),
        _runtime_folder(),
        _device("/dev/net/tun", "rootless networks of their own need it; none and host do not"),
        _device("/dev/fuse", "fuse-overlayfs needs it; native overlay does not"),
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _namespaces() -> Finding:
    for path, is_right in _SYSCTLS.items():
        try:
            value = int(path.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if not is_right(value):
            name = ".".join(path.relative_to("/proc/sys").parts)
            right = 1 if "clone" in name else 0 if "apparmor" in name else 28633
            return Finding(
                "warning" if "apparmor" in name else "problem", "user namespaces",
                f"{name} is {value}", f"as root `sysctl {name}={right}`",
            )  # fmt: skip
    return Finding("ok", "user namespaces", "permitted")


def _mappers() -> Finding:
    missing = [name for name in ("newuidmap", "newgidmap") if shutil.which(name) is None]
    if missing:
        return Finding(
            "problem", "newuidmap", f"{' and '.join(missing)} not found on PATH",
            "install uidmap (shadow-utils)",
        )  # fmt: skip
    return Finding("ok", "newuidmap", "newuidmap and newgidmap are installed")


def _subordinate(kind: str, name: str) -> Finding:
    flag = "--add-subuids" if kind == "subuid" else "--add-subgids"
    cure = f"as root `usermod {flag} 100000-165535 {name}`, then the engine's `system migrate`"
    try:
        lines = Path(f"/etc/{kind}").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    rows = [line.split(":") for line in lines]
    mine = {name, str(os.geteuid())}
    counts = [int(row[2]) for row in rows if len(row) == 3 and row[0] in mine]  # noqa: PLR2004
    if not counts:
        return Finding("problem", kind, f"/etc/{kind} has no range for {name}", cure)
    if sum(counts) < _ENOUGH_IDS:
        granted = f"/etc/{kind} gives {name} {sum(counts)} ids, images may need {_ENOUGH_IDS}"
        return Finding("warning", kind, granted, cure)
    return Finding("ok", kind, f"{sum(counts)} ids for {name}")


def _runtime_folder() -> Finding:
    check = "XDG_RUNTIME_DIR"
    cure = f"export XDG_RUNTIME_DIR=/run/user/{os.geteuid()} (`loginctl enable-linger` makes it)"
    value = os.environ.get(check, "")
    if not value:
        return Finding("warning", check, "is not set", cure)
    try:
        status = Path(value).stat()
    except OSError as error:
        return Finding("problem", check, f"{value}: {error.strerror}", cure)
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return Finding("problem", check, f"{value} is no folder of yours", cure)
    return Finding("ok", check, value)


def _device(path: str, purpose: str) -> Finding:
    if not Path(path).exists():
        return Finding(
            "info", path, f"is missing; {purpose}", f"as root `modprobe {Path(path).name}`"
        )
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(
            "info", path, f"you may not open it; {purpose}", f"as root `chmod 666 {path}`"
        )
    return Finding("ok", path, "can be opened")
