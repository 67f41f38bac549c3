"""What ``runcommit doctor`` looks for in podman."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import Finding, process, space_finding, version_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (4, 0)
OWN = Finding("ok", "service", "none is needed: podman runs containers itself")
_CLIENT = Finding(
    "info",
    "service",
    "podman talks to a service, which may be on another machine: by ssh the registry goes there as"
    " well, by tcp images go as archives",
)
ELSEWHERE = Finding(
    "warning",
    "service",
    "podman talks to a service elsewhere: images go as archives unless it shares this machine's"
    " loopback, and no file of this machine can be mounted",
    "run where the containers are: unset CONTAINER_HOST and CONTAINER_CONNECTION",
)


def findings(program: Sequence[str]) -> list[Finding]:
    """Ask ``podman info``, which knows all of it."""
    info = json.loads(process.output(*program, "info", "--format", "json"))
    remote = bool(info["host"].get("serviceIsRemote"))
    return judged(info, _CLIENT if remote else OWN, here=not remote)


def judged(info: dict[str, Any], service: Finding, *, here: bool) -> list[Finding]:
    """What there is to say of the answer to ``info``, of a podman here or elsewhere.

    ``service`` is what there is to say of the way to it.
    """
    host, store = info["host"], info["store"]
    return [
        version_finding("podman", info["version"]["Version"], OLDEST),
        service,
        _storage(store, rootless=host["security"]["rootless"]),
        _runtime(host),
    ] + [
        space_finding("store space", path)
        for path in (store["graphRoot"],)
        if here or Path(path).is_dir()
    ]


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
