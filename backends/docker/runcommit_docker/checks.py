"""What a daemon cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core import EngineOptions, Job, Lack, check_emulation, process
from runcommit_docker.address import place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runcommit_core import RunOptions

PROGRAM = "docker"
_LIMITS = {"memory": "{{.MemoryLimit}}", "cpus": "{{.CPUCfsQuota}}"}

NO_ROOT = Lack(
    "verify",
    "only root on the daemon's own machine, with overlay2, can look into docker's containers",
    "leave --verify out, or choose podman or buildah",
)


def lacking(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> Iterator[Lack]:
    """Mounts on another machine, limits without cgroups, roots of somebody else's containers.

    The daemon is asked only what matters for what is wanted.
    """
    if "mount" in wanted:
        yield from _mounts_elsewhere(engine, run)
    if limits := [name for name in _LIMITS if name in wanted]:
        able = _ask(engine, "info", " ".join(map(_LIMITS.__getitem__, limits))).split()
        for name, answer in zip(limits, able, strict=False):
            if answer == "false":
                yield Lack(
                    name,
                    f"docker's daemon cannot keep to --{name}: it lacks the cgroup controller",
                    "rootless: delegate cpu and memory to the user (systemctl edit user@.service);"
                    " else start the kernel with cgroup_enable=memory",
                )
    if "verify" in wanted and (os.geteuid() != 0 or not place_of(engine).here):
        yield NO_ROOT


def check_platform(job: Job) -> None:
    """Refuse a platform that the daemon's machine cannot run; UsageError."""
    if job.run.platform:
        host = _ask(job.engine, "info", "{{.Architecture}}")
        check_emulation(job.run.platform, job.folder, host=host)


def _mounts_elsewhere(engine: EngineOptions, run: RunOptions) -> Iterator[Lack]:
    place = place_of(engine)
    if not place.here:
        kinds = [mount.kind for mount in run.mounts if mount.source][:1]
        yield Lack(
            "mount",
            f"docker's daemon is on another machine ({place.address}), which has not the files of"
            " this one" + "".join(f": a mount of type {kind} cannot be made" for kind in kinds),
            "put the files into the base first, or choose a daemon of this machine by its unix"
            " socket (DOCKER_HOST, docker context), or podman or buildah",
        )


def _ask(engine: EngineOptions, *words: str) -> str:
    *verb, template = words
    return process.output(*engine.command(PROGRAM), *verb, "--format", template)
