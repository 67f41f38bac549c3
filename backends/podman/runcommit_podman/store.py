"""How podman stores a container, and whether it can tell what has changed there."""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, NamedTuple

from runcommit_core import Container, EngineError, Job, images, overlays, process
from runcommit_podman_service.address import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

_FACTS = (
    '{"driver": {{json .GraphDriver.Name}}, "data": {{json .GraphDriver.Data}},'
    ' "mapped": {{json .HostConfig.IDMappings}}}'
)
_NATIVE = re.compile(r"\buseNativeDiff=(true|false)")


# To describe an image podman searches its parent among all that have its layers, and to list images
# that of each; one without a manifest yet, another job's whose pull has not ended, makes it fail:
# podman 4.3 as a service dereferences what it did not get.
UNFINISHED = re.compile("consider removing the image|nil pointer dereference")


class Store(NamedTuple):
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
    inspected = process.checked(process.attempt(*inspect, "--format", _FACTS, container.name))
    return store_from(
        **json.loads(inspected.output),
        said=inspected.errors,
        ask=functools.partial(_graph_status, job),
    )


def store_from(
    driver: str,
    data: dict[str, str] | None,
    *,
    mapped: object,
    said: str,
    ask: Callable[[], dict[str, str] | None],
) -> Store:
    """The same from what is known of the container: driver, its data, whether ids are mapped.

    ``said`` are podman's debug messages.  Every call of podman says there whether overlay itself,
    and no comparison, tells the changes; ``ask``, for the store's status, takes ten times as long.
    """
    right = driver == "overlay" and _is_native(said, ask)
    if mapped and not right:
        raise EngineError(
            f"podman's storage driver {driver} cannot tell what changed in a container"
            " of a user namespace of its own",
            tip="run without --userns, --uidmap and --subuidname, or use native overlay storage",
        )
    upper = "" if mapped or not right else (data or {}).get("UpperDir", "")
    return Store(right, upper)


def _is_native(said: str, ask: Callable[[], dict[str, str] | None]) -> bool:
    if verdict := _NATIVE.search(said):
        return verdict[1] == "true"
    return overlays.is_native(ask())


def _graph_status(job: Job) -> dict[str, str] | None:
    status: dict[str, str] | None = json.loads(
        process.output(
            *job.engine.command(PROGRAM), "info", "--format", "{{json .Store.GraphStatus}}"
        )
    )
    return status


def at_once(look: Callable[[str], images.Facts | None], name: str) -> images.Facts | None:
    """Look, and find nothing rather than wait: a pull of what is there takes no longer."""
    try:
        return look(name)
    except EngineError as error:
        if UNFINISHED.search(error.output):
            return None
        raise
