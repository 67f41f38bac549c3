"""How podman stores a container, and whether it can tell what has changed there."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from runcommit_core import Container, EngineError, Job, process

PROGRAM = "podman"
_FACTS = (
    '{"driver": {{json .GraphDriver.Name}}, "data": {{json .GraphDriver.Data}},'
    ' "mapped": {{json .HostConfig.IDMappings}}}'
)
_NATIVE = re.compile(r"\buseNativeDiff=(true|false)")


@dataclass(frozen=True, slots=True)
class Store:
    """``compares_rightly`` is false where layers come from comparing directories by size and time.

    ``upper`` is the directory with the container's changes, empty where none has just them.
    """

    compares_rightly: bool
    upper: str


def read_store(job: Job, container: Container) -> Store:
    """Look at a finished container's storage.

    Raises EngineError where podman compares wrongly and the container's ids are shifted as well.
    """
    inspect = (*job.engine.command(PROGRAM), "--log-level=debug", "container", "inspect")
    found = process.checked(process.attempt(*inspect, "--format", _FACTS, container.name))
    facts = json.loads(found.output)
    right = facts["driver"] == "overlay" and _is_native(job, found.errors)
    if facts["mapped"] and not right:
        raise EngineError(
            f"podman's storage driver {facts['driver']} cannot tell what changed in a container"
            " of a user namespace of its own",
            tip="run without --userns, --uidmap and --subuidname, or use native overlay storage",
        )
    upper = "" if facts["mapped"] or not right else (facts["data"] or {}).get("UpperDir", "")
    return Store(right, upper)


def _is_native(job: Job, debug_messages: str) -> bool:
    """Whether overlay itself, and no comparison, tells the changes.

    Every call of podman says so to its debug log, ``podman info`` takes ten times as long.
    """
    said = _NATIVE.search(debug_messages)
    if said:
        return said[1] == "true"
    status = process.output(
        *job.engine.command(PROGRAM), "info", "--format", "{{json .Store.GraphStatus}}"
    )
    return (json.loads(status) or {}).get("Native Overlay Diff") == "true"
