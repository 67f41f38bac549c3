"""What ``runcommit doctor`` looks for in buildah."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runcommit_core import Finding, process, space_finding, version_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (1, 28)


def findings(program: Sequence[str]) -> list[Finding]:
    """Ask ``buildah --version`` and ``buildah info``."""
    version = process.output(*program, "--version").split()[2]
    info = json.loads(process.output(*program, "info"))
    host, store = info["host"], info["store"]
    return [
        version_finding("buildah", version, OLDEST),
        _isolation(host),
        _storage(store, rootless=host["rootless"]),
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


def _storage(store: dict[str, Any], *, rootless: bool) -> Finding:
    driver = store["GraphDriverName"]
    if (store["GraphStatus"] or {}).get("Native Overlay Diff") == "true":
        return Finding("ok", "storage", f"{driver}, the kernel's own")
    mounted_by = "mount_program" in json.dumps(store["GraphOptions"])
    with_what = " with fuse-overlayfs" if mounted_by else ""
    where = "~/.config/containers/storage.conf" if rootless else "/etc/containers/storage.conf"
    return Finding(
        "warning", "storage", f"{driver}{with_what}: no overlay of the kernel's own, so each job"
        " reads the container's whole root",
        f'driver = "overlay", no mount_program, in {where}; then an empty store',
    )  # fmt: skip
