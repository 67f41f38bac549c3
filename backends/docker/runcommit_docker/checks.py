"""What a daemon cannot do, or would pass over in silence, told before anything runs."""

from __future__ import annotations

import re

from runcommit_core import Job, UsageError, check_emulation, process

PROGRAM = "docker"
_HERE = re.compile(r"unix:|npipe:|tcp://(127\.|localhost|\[::1\])")


def check(job: Job) -> None:
    """Refuse mounts on another machine, limits without cgroups, platforms without an emulator.

    The daemon is asked only what matters for the job; raises UsageError.
    """
    run = job.run
    if any(mount.source for mount in run.mounts):
        _check_here(job)
    if run.memory or run.cpus:
        _check_limits(job)
    if run.platform:
        check_emulation(run.platform, job.folder, host=_ask(job, "info", "{{.Architecture}}"))


def _check_here(job: Job) -> None:
    address = _ask(job, "context", "inspect", "{{.Endpoints.docker.Host}}")
    if address and not _HERE.match(address):
        kind = next(mount.kind for mount in job.run.mounts if mount.source)
        raise UsageError(
            f"docker's daemon is on another machine ({address}), which has not the files of this"
            f" one: a mount of type {kind} cannot be made",
            tip="choose a daemon on this machine (DOCKER_HOST, docker context), or podman or"
            " buildah",
        )


def _check_limits(job: Job) -> None:
    found = _ask(job, "info", "{{.MemoryLimit}} {{.CPUCfsQuota}}").split()
    for option, wanted, able in zip(
        ("--memory", "--cpus"), (job.run.memory, job.run.cpus), found, strict=False
    ):
        if wanted and able == "false":
            raise UsageError(
                f"docker's daemon cannot keep to {option}: it lacks the cgroup controller",
                tip="rootless: delegate cpu and memory to the user (systemctl edit user@.service);"
                " else start the kernel with cgroup_enable=memory",
            )


def _ask(job: Job, *words: str) -> str:
    *verb, template = words
    return process.output(*job.engine.command(PROGRAM), *verb, "--format", template)
