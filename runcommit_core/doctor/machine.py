"""What this machine offers to any engine."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from runcommit_core.cachedir import cache_dir
from runcommit_core.errors import UsageError
from runcommit_core.interface.findings import Finding, space_finding
from runcommit_core.layer.upper import can_read_uppers
from runcommit_core.oci.platforms import host_platform
from runcommit_core.plan.making import temporary_parent

_PARAMETERS = Path("/sys/module/overlay/parameters")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_CGROUPS = Path("/sys/fs/cgroup")


def machine_findings() -> list[Finding]:
    """Check what does not depend on an engine."""
    return [
        _cache(),
        space_finding("temporary space", temporary_parent() or "/tmp"),  # noqa: S108
        _overlay(),
        _upper(),
        _cgroups(),
        _emulators(),
    ]


def _cache() -> Finding:
    try:
        folder = cache_dir()
        probe = folder / f".doctor-{secrets.token_hex(4)}"
        probe.touch(0o600)
        probe.unlink()
    except UsageError as error:
        return Finding("problem", "cache folder", str(error), error.tip)
    except OSError as error:
        return Finding(
            "problem", "cache folder", f"cannot write to {folder}: {error.strerror}",
            "set RUNCOMMIT_CACHE_DIR to a folder that you may write",
        )  # fmt: skip
    return Finding("ok", "cache folder", f"{folder} is private and writable")


def _overlay() -> Finding:
    check = "kernel overlay"
    if "overlay\n" not in Path("/proc/filesystems").read_text(encoding="ascii").replace("\t", "\n"):
        return Finding(
            "info", check, "the overlay file system is not loaded (engines may load it)",
            "as root `modprobe overlay`",
        )  # fmt: skip
    switched_on = [name for name in ("redirect_dir", "metacopy") if _is_on(_PARAMETERS / name)]
    if switched_on:
        return Finding(
            "warning", check, f"{' and '.join(switched_on)} on: engines compare directories then",
            "as root "
            + " && ".join(f"`echo N > {_PARAMETERS / name}`" for name in switched_on),
        )  # fmt: skip
    return Finding("ok", check, "available, redirect_dir and metacopy off")


def _is_on(parameter: Path) -> bool:
    try:
        return parameter.read_text(encoding="ascii").strip() in {"Y", "on"}
    except OSError:
        return False


def _upper() -> Finding:
    check = "upper directory"
    if can_read_uppers():
        return Finding("ok", check, "you are the real root: changes on overlay are read directly")
    return Finding("info", check, "only the real root reads it: the engine commits the changes")


def _cgroups() -> Finding:
    if (_CGROUPS / "cgroup.controllers").exists():
        return Finding("ok", "cgroups", "version 2")
    if not _CGROUPS.is_dir() or not any(_CGROUPS.iterdir()):
        return Finding("warning", "cgroups", "none are mounted", "mount them on /sys/fs/cgroup")
    return Finding(
        "info", "cgroups", "version 1, or hybrid: limits work as root only, and crun may refuse it",
        'boot with systemd.unified_cgroup_hierarchy=1, or use runtime = "runc"',
    )  # fmt: skip


def _emulators() -> Finding:
    emulators = sorted(
        path.name.removeprefix("qemu-") for path in _listed(_BINFMT) if path.name.startswith("qemu")
    )
    if emulators:
        return Finding("info", "emulators", f"programs of {', '.join(emulators)} run here as well")
    return Finding(
        "info", "emulators", f"none: only images for {host_platform()} run here",
        "install qemu-user-static (with binfmt support) to run others",
    )  # fmt: skip


def _listed(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if os.access(folder, os.R_OK) else []
