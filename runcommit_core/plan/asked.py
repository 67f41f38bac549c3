"""What was asked for, as the report tells it.

Values of variables and contents of inputs and secrets are not in it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Mount, RunOptions
    from runcommit_core.request.request import Request


def request_of(job: Job, request: Request) -> dict[str, Any]:
    """What was asked for, as JSON: all that shapes the result.  ``job`` is ready to run.

    Reads the inputs, for their digests.
    """
    return {
        "commands": list(request.commands.texts),
        "run": _run(job.run, job.layer.epoch),
        "layer": {
            "mtime": job.layer.mtime,
            "xattrs": job.layer.xattrs,
            "always": job.layer.always,
            "split": request.layer.split,
            "exclude": list(request.layer.exclude),
            "clean": list(request.layer.clean),
        },
        "compression": str(request.outputs.compression),
        "config": request.edits.as_json(),
    }


def _run(run: RunOptions, epoch: int) -> dict[str, Any]:
    return {
        "env": sorted(run.env),
        "user": run.user,
        "workdir": run.workdir,
        "network": run.network,
        "platform": run.platform,
        "memory": run.memory,
        "cpus": run.cpus,
        "timeout": run.timeout,
        "flags": list(run.flags),
        "mounts": [_mount(mount, epoch) for mount in run.mounts],
    }


def _mount(mount: Mount, epoch: int) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "kind": mount.kind,
        "target": mount.target,
        "read_only": mount.read_only,
    }
    if mount.name:
        shown["name"] = mount.name
    if mount.kind == "input":
        shown["digest"] = _input_digest(mount.source, epoch)
    return shown


def _input_digest(source: str, epoch: int) -> dict[str, str]:
    """A file by its content's hash, as everybody computes it; a directory by our own."""
    if not os.path.isdir(source):  # noqa: PTH112 - as the engine is given it
        from runcommit_core.oci.regions import digest_of

        with open(source, "rb") as file:  # noqa: PTH123
            return {"sha256": digest_of(file)[0].removeprefix("sha256:")}
    from runcommit_core.cache.inputs import tree_digest

    return {"runcommitTree": tree_digest(source, epoch)}
