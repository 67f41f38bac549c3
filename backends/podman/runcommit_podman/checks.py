"""What podman cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core import (
    EngineOptions,
    Job,
    Lack,
    UsageError,
    check_emulation,
    process,
    rootless_limits,
)
from runcommit_podman.address import place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runcommit_core import RunOptions

PROGRAM = "podman"
_CONTROLLERS = {"memory": "memory", "cpus": "cpu"}
_NO_ROOT = Lack(
    "verify",
    "podman's service shows nobody the root of a container",
    "leave --verify out, or choose podman on this machine",
)


def lacking(
    engine: EngineOptions, run: RunOptions, wanted: Collection[str] = ("mount",)
) -> list[Lack]:
    """Mounts on another machine, limits without cgroups, the roots that a service keeps.

    A service is asked only what matters for what is wanted.
    """
    place = place_of(engine)
    if not place.address:
        return rootless_limits("podman")
    lacks = [] if place.here else [mounts_elsewhere(place.address, run)]
    if limits := [name for name in _CONTROLLERS if name in wanted]:
        lacks += _limits_elsewhere(_host(engine), limits)
    return [*lacks, _NO_ROOT] if "verify" in wanted else lacks


def mounts_elsewhere(address: str, run: RunOptions) -> Lack:
    """Mounts at a service that has not the files of this machine."""
    kinds = [mount.kind for mount in run.mounts if mount.source][:1]
    return Lack(
        "mount",
        f"podman's service is on another machine ({address}), which has not the files of this one"
        + "".join(f": a mount of type {kind} cannot be made" for kind in kinds),
        "put the files into the base first, or choose podman on this machine",
    )


def check_platform(job: Job) -> None:
    """Refuse a platform that podman's machine cannot run; UsageError."""
    if job.run.platform:
        host = _host(job.engine)["arch"] if job.elsewhere else ""
        check_emulation(job.run.platform, job.folder, host=host)


def check_root(job: Job) -> None:
    """Refuse to look for changes in a root that a service does not show; UsageError."""
    if job.place and job.place.address:
        raise UsageError(
            "podman's service finds changes by comparing size and time, and so misses some; the"
            " container's root, which would tell, cannot be read through a service",
            tip='give the service native overlay storage (driver = "overlay" without a'
            " mount_program in its storage.conf), or choose podman on this machine",
        )


def _limits_elsewhere(host: dict[str, Any], limits: Collection[str]) -> Iterator[Lack]:
    able = host["cgroupVersion"] == "v2" or not host["security"]["rootless"]
    for name in limits:
        controllers = host.get("cgroupControllers") or ()
        if not able or (controllers and _CONTROLLERS[name] not in controllers):
            yield Lack(
                name,
                f"podman's service cannot keep to --{name}: it has no cgroup controller for it",
                "delegate cpu and memory to its user (systemctl edit user@.service), or run it"
                " as root",
            )


def _host(engine: EngineOptions) -> dict[str, Any]:
    words = process.output(*engine.command(PROGRAM), "info", "--format", "{{json .Host}}")
    found: dict[str, Any] = json.loads(words)
    return found
