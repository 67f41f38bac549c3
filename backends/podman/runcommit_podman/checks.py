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
    mounts_elsewhere,
    process,
    rootless_limits,
)
from runcommit_podman_service.address import PROGRAM, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runcommit_core import RunOptions

_CONTROLLERS = {"memory": "memory", "cpus": "cpu"}
VARIABLES = (
    *("CONTAINER_CONNECTION", "CONTAINER_HOST", "CONTAINER_SSHKEY", "PODMAN_CONNECTIONS_CONF"),
)
CURES = {
    "strconv.Atoi: parsing": (
        "podman wants the port in the address as well: ssh://USER@HOST:22/run/podman/podman.sock"
    ),
    "cannot connect to podman|unable to connect to podman": (
        "start the service (`systemctl start podman.socket`), or set CONTAINER_HOST or the"
        " connection right"
    ),
    "no sub[ug]id ranges|cannot find (UID/GID|mappings) for user|insufficient [UG]IDs": (
        "give your user subordinate ids: as root `usermod --add-subuids 100000-165535"
        " --add-subgids 100000-165535 USER`, then `podman system migrate`"
    ),
    "graph driver .{0,40}overwritten by graph driver": (
        "the store was made with another driver: `podman system reset` makes a new one, and loses"
        " what is in it"
    ),
}
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
    lacks = [] if place.here else [no_mounts(place.address, run)]
    if limits := [name for name in _CONTROLLERS if name in wanted]:
        lacks += _limits_elsewhere(info(engine, "{{json .Host}}"), limits)
    return [*lacks, _NO_ROOT] if "verify" in wanted else lacks


def no_mounts(address: str, run: RunOptions) -> Lack:
    """Mounts at a service that has not the files of this machine."""
    tip = "choose podman on this machine"
    return mounts_elsewhere("podman's service", address, run, tip=tip)


def check_root(job: Job) -> None:
    """Refuse to look for changes in a root that a service does not show; UsageError."""
    if job.place and job.place.address:
        raise UsageError(
            "podman's service finds changes by comparing size and time, and so misses some; the"
            " container's root, which would tell, cannot be read through a service",
            tip='give the service native overlay storage (driver = "overlay" without a'
            " mount_program in its storage.conf), or choose podman on this machine",
        )


def check_platform(job: Job) -> None:
    """Refuse a platform that podman's machine cannot run; UsageError."""
    if job.run.platform:
        host = info(job.engine, "{{json .Host}}")["arch"] if job.elsewhere else ""
        check_emulation(job.run.platform, job.folder, host=host)


def info(engine: EngineOptions, template: str) -> dict[str, Any]:
    """What ``podman info`` says in that form, which is JSON."""
    words = process.output(*engine.command(PROGRAM), "info", "--format", template)
    facts: dict[str, Any] = json.loads(words)
    return facts


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
