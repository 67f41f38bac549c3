"""What buildah cannot do or would pass over in silence, and what the doctor looks for in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runcommit_core import (
    Finding,
    Lack,
    RunOptions,
    flag_values,
    overlays,
    rootless_limits,
    space_finding,
    version_finding,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (1, 28)
_ISOLATION = {"--isolation": "isolation"}
_CURE = "choose another isolation (BUILDAH_ISOLATION=oci or rootless)"


def lacking(run: RunOptions) -> list[Lack]:
    """What the isolation lacks, and limits without cgroups."""
    if not _is_chroot(run.flags):
        return rootless_limits("buildah")
    said = "buildah's chroot isolation has no cgroups and cannot keep to"
    limits = [Lack(name, f"{said} --{name}", _CURE) for name in ("memory", "cpus")]
    if run.network == "host":
        return limits
    network = Lack(
        "network",
        "buildah's chroot isolation has the host's network and no other",
        f"choose --network host, or {_CURE.removeprefix('choose ')}",
    )
    return [network, *limits]


def findings(version: str, info: dict[str, Any]) -> list[Finding]:
    """What there is to say of the answers to ``buildah --version`` and ``buildah info``."""
    host, store = info["host"], info["store"]
    return [
        version_finding("buildah", version, OLDEST),
        _isolation(host),
        overlays.finding(store, rootless=host["rootless"], then="an empty store"),
        space_finding("store space", store["GraphRoot"]),
    ]


def _isolation(host: dict[str, Any]) -> Finding:
    isolation = os.environ.get("BUILDAH_ISOLATION") or ("rootless" if host["rootless"] else "oci")
    if isolation == "chroot":
        return Finding(
            "info", "isolation", "chroot: no runtime is needed, and the network is the host's",
            "for --network none, set BUILDAH_ISOLATION to oci or rootless",
        )  # fmt: skip
    runtime = host.get("OCIRuntime") or "the default runtime"
    return Finding("ok", "isolation", f"{isolation}, {runtime}, cgroups {host['CgroupVersion']}")


def _is_chroot(flags: Sequence[str]) -> bool:
    chosen = dict(flag_values(flags, _ISOLATION)).get("isolation")
    return (chosen or os.environ.get("BUILDAH_ISOLATION")) == "chroot"
