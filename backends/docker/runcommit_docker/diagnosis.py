"""What ``runcommit doctor`` looks for in a docker daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core import EngineOptions, Finding, Place, process, space_finding, version_finding
from runcommit_docker.address import place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (20, 10)
_CONTAINERD_STORE = "io.containerd.snapshotter"


def findings(program: Sequence[str], engine: EngineOptions, naive: frozenset[str]) -> list[Finding]:
    """Ask the daemon once; ``naive`` are the storage drivers that miss changes."""
    place = place_of(engine)
    info = json.loads(process.output(*program, "info", "--format", "{{json .}}"))
    return [
        version_finding("docker", info["ServerVersion"], OLDEST),
        _address(place),
        _storage(info, naive),
        _runtime(info),
        *(_space(info) if place.here else ()),
    ]


def _address(place: Place) -> Finding:
    if place.here:
        return Finding("info", "daemon", place.address)
    way = "ssh takes the registry there" if place.ssh else "images go as archives"
    return Finding("info", "daemon", f"{place.address}, another machine's: {way}; no mounts")


def _storage(info: dict[str, Any], naive: frozenset[str]) -> Finding:
    check, driver = "storage", info["Driver"]
    if _CONTAINERD_STORE in json.dumps(info.get("DriverStatus")):
        return Finding(
            "info", check, f"containerd image store ({driver}): each commit walks the base, and"
            " --verify is refused",
            "for speed, the overlay2 driver: features.containerd-snapshotter false in daemon.json",
        )  # fmt: skip
    if driver in naive:
        return Finding(
            "problem", check, f"{driver} finds changes by size and time, and so misses some",
            "use overlay2 or the containerd image store (storage-driver in daemon.json)",
        )  # fmt: skip
    return Finding("ok", check, driver)


def _runtime(info: dict[str, Any]) -> Finding:
    cgroups = f"cgroups version {info.get('CgroupVersion', '?')}, {info.get('CgroupDriver', '?')}"
    return Finding("ok", "runtime", f"{info.get('DefaultRuntime', '?')}, {cgroups}")


def _space(info: dict[str, Any]) -> list[Finding]:
    folder = info.get("DockerRootDir", "")
    return [space_finding("store space", folder)] if folder else []
