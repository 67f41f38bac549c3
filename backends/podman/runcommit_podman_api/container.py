"""Creating a container and running it to its end while its output comes, live.

podman-py's own ``containers.create`` drops the platform and the number of processors, and knows
neither ``notmpcopyup`` nor empty words, so the service's own form is filled in here.  It neither
attaches (``NotImplementedError``) nor starts with output: its logs go through a log driver, which
stores all output once more.  So the container is attached to before it starts, which makes the
service prepare it, and the command's streams are read from there.
"""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, Any, cast

from runcommit_core import PUBLIC_VARIABLES, added_capabilities, process, services
from runcommit_podman_api import held
from runcommit_podman_api.flags import limits, merged, part_of
from runcommit_podman_api.wire import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core import Image, Job, Mount
    from runcommit_podman_api.wire import Wire

_TASK = "run the command"
_STREAMS = {"stream": "true", "stdout": "true", "stderr": "true"}
# without an interval the service looks only four times a second
_STOPPED = {"condition": ["stopped", "exited"], "interval": "5ms"}
_HIDDEN = "*****"
_MODES = ("none", "host", "bridge", "private", "slirp4netns", "pasta")


def create(wire: Wire, job: Job, image: Image) -> None:
    """Create the job's container; EngineError, and UsageError for a flag that has no place here."""
    body, headers = _container_spec(job, image), {"Content-Type": "application/json"}
    path, shown = "/containers/create", _without_values(body)
    with process.undisturbed():  # the service goes on without us
        wire.ask("create the container", "post", path, data=body, shown=shown, headers=headers)


def run_attached(wire: Wire, job: Job) -> process.Completed:
    """Start a created container and wait for it: its exit code and the end of its output.

    Raises CommandTimeoutError when its time is over, and it has been killed.
    """
    from podman.api import stream_frames

    path, ask = f"/containers/{job.name}", functools.partial(wire.ask, _TASK, "post")
    kill, end = (functools.partial(ask, f"{path}/kill", {"signal": n}) for n in ("KILL", "TERM"))
    tail, run = services.Tail(job.console), job.run
    state = functools.partial(held.inspected, wire, job.name)
    asked = services.asked_to_end(run.stop_timeout, end, lambda: not state()["State"]["Running"])
    with services.killed_after(run.timeout, kill, tail), asked:
        streams = ask(f"{path}/attach", _STREAMS, stream=True)
        with told(_TASK), contextlib.closing(streams):
            ask(f"{path}/start")
            for chunk in cast("Iterator[bytes]", stream_frames(streams)):
                tail(chunk)
        waited = ask(f"{path}/wait", _STOPPED)
    return process.Completed(job.argv, int(waited.text), str(tail), "")


def _container_spec(job: Job, image: Image) -> str:
    run = job.run
    spec: dict[str, Any] = {
        "name": job.name,
        "image": image.name,
        "command": list(job.argv),
        "labels": {"runcommit.job": job.id},
        "hostname": "runcommit",
        "httpproxy": False,
        "manage_password": False,
        "umask": "0022",
        "log_configuration": {"driver": "none"},
        "cap_add": added_capabilities(run.flags, user=run.user),
        "env": dict(run.env),
        "user": run.user,
        "work_dir": run.workdir,
        "mounts": [_mount(mount) for mount in run.mounts],
        **limits(memory=run.memory or 0, cpus=run.cpus or 0),
        **_platform(run.platform),
        **_network(run.network),
    }
    return json.dumps(merged(spec, part_of(run.flags)))


def _without_values(body: str) -> str:
    """The same body as it may be seen: with the names of variables alone."""
    spec = json.loads(body)
    env = spec["env"]
    spec["env"] = {name: env[name] if name in PUBLIC_VARIABLES else _HIDDEN for name in env}
    return json.dumps(spec)


def _mount(mount: Mount) -> dict[str, Any]:
    kind, source = "bind", mount.source
    options = ["rbind", "ro" if mount.read_only else "rw"]
    if not source:  # a tmpfs begins empty, as docker's do
        kind, source = "tmpfs", "tmpfs"
        options = ["rw", "notmpcopyup"]
        options += [f"size={mount.size}"] if mount.size else []
        options += [f"mode={mount.mode:o}"] if mount.mode is not None else []
    return {"type": kind, "source": source, "destination": mount.target, "options": options}


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
