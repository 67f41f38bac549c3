"""What podman cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core import Job, UsageError, check_emulation, check_rootless_limits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ADDRESSES = ("--url", "--connection", "-c")
_VARIABLES = ("CONTAINER_HOST", "CONTAINER_CONNECTION")


def check(job: Job) -> None:
    """Refuse mounts on another machine, limits without cgroups, platforms without an emulator.

    Raises UsageError.
    """
    check_on(job, list(_elsewhere(job)), here=True)


def check_on(job: Job, elsewhere: Sequence[str], *, here: bool) -> None:
    """The same, for a podman that may be at an address on another machine.

    ``here`` says that podman is this user's own, so that its limits and emulators can be seen.
    Raises UsageError.
    """
    if here:
        check_rootless_limits(job.run, "podman")
        check_emulation(job.run.platform, job.folder)
    for address in elsewhere:
        for mount in job.run.mounts:
            if mount.source:
                raise UsageError(
                    f"podman's service is on another machine ({address}), which has not the files"
                    f" of this one: a mount of type {mount.kind} cannot be made",
                    tip="choose podman on this machine",
                )


def _elsewhere(job: Job) -> Iterator[str]:
    """The service that podman is told to use, unless it is one on this machine."""
    words = iter(job.engine.flags)
    found = [os.environ[name] for name in _VARIABLES if os.environ.get(name)]
    for word in words:
        flag, separator, value = word.partition("=")
        if flag in _ADDRESSES:
            found.append(value if separator else next(words, ""))
    yield from (address for address in found if not address.startswith("unix:"))
