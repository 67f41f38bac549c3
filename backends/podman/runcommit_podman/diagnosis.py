"""What ``runcommit doctor`` looks for in podman."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import Finding, process, space_finding, version_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (4, 0)


def findings(program: Sequence[str]) -> list[Finding]:
    """Ask ``podman info``, which knows all of it."""
    info = json.loads(process.output(*program, "info", "--format", "json"))
    return judged(info, remote=bool(info["host"].get("serviceIsRemote")))


def judged(info: dict[str, Any], *, remote: bool) -> list[Finding]:
    """What there is to say of the answer to ``info``, of a podman here or elsewhere."""
    host, store = info["host"], info["store"]
    return [
        version_finding("podman", info["version"]["Version"], OLDEST),
        _remote(remote=remote),
        _storage(store, rootless=host["security"]["rootless"]),
        _runtime(host),
    ] + [
        space_finding("store space", path)
        for path in (store["graphRoot"],)
        if not remote or Path(path).is_dir()
    ]


def _remote(*, remote: bool) -> Finding:
    if remote:
        return Finding(
            "warning", "service", "podman talks to a service elsewhere: images go as archives",
            "run where the containers are: unset CONTAINER_HOST and CONTAINER_CONNECTION",
        )  # fmt: skip
    return Finding("ok", "service", "none is needed: podman runs containers itself")


def _storage(store: dict[str, Any], *, rootless: bool) -> Finding:
    driver = store["graphDriverName"]
    mounted_by = [value for key, value in store["graphOptions"].items() if "mount_program" in key]
    if (store["graphStatus"] or {}).get("Native Overlay Diff") == "true":
        return Finding("ok", "storage", f"{driver}, the kernel's own")
    with_what = " with fuse-overlayfs" if mounted_by else ""
    where = "~/.config/containers/storage.conf" if rootless else "/etc/containers/storage.conf"
    return Finding(
        "warning", "storage", f"{driver}{with_what}: no overlay of the kernel's own, so each job"
        " reads the container's whole root",
        f'driver = "overlay", no mount_program, in {where}; then `podman system reset`',
    )  # fmt: skip


def _runtime(host: dict[str, Any]) -> Finding:
    runtime = host["ociRuntime"]["version"].partition("\n")[0] or host["ociRuntime"]["name"]
    cgroups = f"cgroups {host['cgroupVersion']}, {host['cgroupManager']}"
    return Finding("ok", "runtime", f"{runtime}, {cgroups}")
