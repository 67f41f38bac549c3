"""What a daemon cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from runcommit_core import EngineOptions, Job, Lack, check_emulation, process

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runcommit_core import RunOptions

PROGRAM = "docker"
_HERE = re.compile(r"unix:|npipe:|tcp://(127\.|localhost|\[::1\])")
_LIMITS = {"memory": "{{.MemoryLimit}}", "cpus": "{{.CPUCfsQuota}}"}


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
    if "verify" in wanted and os.geteuid() != 0:
        yield Lack(
            "verify",
            "only root on the daemon's own machine, with overlay2, can look into docker's"
            " containers",
            "leave --verify out, or choose podman or buildah",
        )


def check_platform(job: Job) -> None:
    """Refuse a platform that the daemon's machine cannot run; UsageError."""
    if job.run.platform:
        host = _ask(job.engine, "info", "{{.Architecture}}")
        check_emulation(job.run.platform, job.folder, host=host)


def _mounts_elsewhere(engine: EngineOptions, run: RunOptions) -> Iterator[Lack]:
    address = _ask(engine, "context", "inspect", "{{.Endpoints.docker.Host}}")
    if address and not _HERE.match(address):
        kinds = [mount.kind for mount in run.mounts if mount.source] or ["bind"]
        yield Lack(
            "mount",
            f"docker's daemon is on another machine ({address}), which has not the files of this"
            f" one: a mount of type {kinds[0]} cannot be made",
            "choose a daemon on this machine (DOCKER_HOST, docker context), or podman or buildah",
        )


def _ask(engine: EngineOptions, *words: str) -> str:
    *verb, template = words
    return process.output(*engine.command(PROGRAM), *verb, "--format", template)
