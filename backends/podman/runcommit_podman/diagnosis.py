"""What ``runcommit doctor`` looks for in podman."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runcommit_core import (
    EngineOptions,
    Finding,
    overlays,
    space_finding,
    version_finding,
)
from runcommit_podman.checks import info

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


def findings(engine: EngineOptions) -> list[Finding]:
    """Ask ``podman info``, which knows all of it."""
    facts = info(engine, "json")
    remote = bool(facts["host"].get("serviceIsRemote"))
    return judged(facts, _CLIENT if remote else OWN, here=not remote)


def judged(facts: dict[str, Any], service: Finding, *, here: bool) -> list[Finding]:
    """What there is to say of the answer to ``info``, of a podman here or elsewhere.

    ``service`` is what there is to say of the way to it.
    """
    host, store = facts["host"], facts["store"]
    runtime = host["ociRuntime"]["version"].partition("\n")[0] or host["ociRuntime"]["name"]
    cgroups = f"cgroups {host['cgroupVersion']}, {host['cgroupManager']}"
    folder = store["graphRoot"]
    return [
        version_finding("podman", facts["version"]["Version"], OLDEST),
        service,
        overlays.finding(
            store, rootless=host["security"]["rootless"], then="`podman system reset`"
        ),
        Finding("ok", "runtime", f"{runtime}, {cgroups}"),
        *([space_finding("store space", folder)] if here or Path(folder).is_dir() else []),
    ]
