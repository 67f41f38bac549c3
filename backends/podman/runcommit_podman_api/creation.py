"""What the service is told to create.

podman-py's own ``containers.create`` drops the platform and the number of processors, and knows
neither ``notmpcopyup`` nor empty words, so the service's own form is filled in here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core import PUBLIC_VARIABLES, added_capabilities
from runcommit_podman_api.flags import limits, merged, part_of

if TYPE_CHECKING:
    from runcommit_core import Image, Job, Mount

_HIDDEN = "*****"
_MODES = ("none", "host", "bridge", "private", "slirp4netns", "pasta")


def container_spec(job: Job, image: Image) -> str:
    """The body of a request to create the job's container, as JSON.

    Raises UsageError for a ``--run-flag`` that has no place in it.
    """
    run = job.run
    spec: dict[str, Any] = {
        "name": job.name,
        "image": image.name,
        "command": list(job.argv),
        "labels": {"runcommit.job": job.id},
        "hostname": "runcommit",
        "httpproxy": False,
        "log_configuration": {"driver": "none"},
        "cap_add": added_capabilities(run.flags),
        "env": dict(run.env),
        "user": run.user,
        "work_dir": run.workdir,
        "mounts": [_mount(mount) for mount in run.mounts],
        **limits(memory=run.memory or 0, cpus=run.cpus or 0),
        **_platform(run.platform),
        **_network(run.network),
    }
    return json.dumps(merged(spec, part_of(run.flags)))


def without_values(body: str) -> str:
    """The same body as it may be seen: with the names of variables alone."""
    spec = json.loads(body)
    env = spec["env"]
    spec["env"] = {name: env[name] if name in PUBLIC_VARIABLES else _HIDDEN for name in env}
    return json.dumps(spec)


def _mount(mount: Mount) -> dict[str, Any]:
    if mount.source:
        options = ["rbind", "ro" if mount.read_only else "rw"]
        return {
            "type": "bind",
            "source": mount.source,
            "destination": mount.target,
            "options": options,
        }
    # a tmpfs begins empty, as docker's do
    options = ["rw", "notmpcopyup"]
    options += [f"size={mount.size}"] if mount.size else []
    options += [f"mode={mount.mode:o}"] if mount.mode is not None else []
    return {"type": "tmpfs", "source": "tmpfs", "destination": mount.target, "options": options}


def _platform(platform: str) -> dict[str, str]:
    parts = platform.split("/") if platform else []
    return dict(zip(("image_os", "image_arch", "image_variant"), parts, strict=False))


def _network(network: str | None) -> dict[str, Any]:
    if not network:
        return {}
    mode, _, value = network.partition(":")
    if mode in _MODES:
        return {"netns": {"nsmode": mode, "value": value} if value else {"nsmode": mode}}
    if mode in ("container", "ns"):
        return {"netns": {"nsmode": {"ns": "path"}.get(mode, mode), "value": value}}
    return {"netns": {"nsmode": "bridge"}, "networks": {network: {}}}
