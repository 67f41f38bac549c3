"""What buildah cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
import re

from runcommit_core import Job, UsageError, check_emulation, check_rootless_limits

_ISOLATION = re.compile(r"--isolation[= ](\w+)")
_CURE = "choose another isolation (BUILDAH_ISOLATION=oci or rootless)"


def check(job: Job) -> None:
    """Refuse what the isolation lacks, limits without cgroups, platforms without an emulator.

    Raises UsageError.
    """
    check_emulation(job.run.platform, job.folder)
    if not _is_chroot(job):
        check_rootless_limits(job.run, "buildah")
        return
    if job.run.network not in {None, "host"}:
        raise UsageError(
            f"buildah's chroot isolation has the host's network, not {job.run.network!r}",
            tip=f"choose --network host, or {_CURE.removeprefix('choose ')}",
        )
    for option, wanted in (("--memory", job.run.memory), ("--cpus", job.run.cpus)):
        if wanted:
            raise UsageError(
                f"buildah's chroot isolation has no cgroups and cannot keep to {option}", tip=_CURE
            )


def _is_chroot(job: Job) -> bool:
    chosen = _ISOLATION.search(" ".join(job.run.flags))
    return (chosen[1] if chosen else os.environ.get("BUILDAH_ISOLATION", "")) == "chroot"
