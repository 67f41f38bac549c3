"""What ``runcommit doctor`` looks for in a docker daemon."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runcommit_core import EngineOptions, Finding, process, space_finding, version_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

OLDEST = (20, 10)
_CONTAINERD_STORE = "io.containerd.snapshotter"


def findings(program: Sequence[str], engine: EngineOptions, naive: frozenset[str]) -> list[Finding]:
    """Ask the daemon once; ``naive`` are the storage drivers that miss changes."""
    info = json.loads(process.output(*program, "info", "--format", "{{json .}}"))
    return [
        version_finding("docker", info["ServerVersion"], OLDEST),
        _address(engine),
        _storage(info, naive),
        _runtime(info),
        *_space(info),
    ]


def _address(engine: EngineOptions) -> Finding:
    chosen = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT") or ""
    words = " ".join(engine.flags)
    return Finding("info", "daemon", chosen or words or "the one of the current context")


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
    """The daemon may be elsewhere: then its folder says nothing here."""
    folder = info.get("DockerRootDir", "")
    remote = os.environ.get("DOCKER_HOST", "unix:").startswith(("tcp:", "ssh:"))
    return [] if remote or not folder else [space_finding("store space", folder)]
