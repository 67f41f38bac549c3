"""What the service is told to create.

podman-py's own ``containers.create`` drops the platform and the number of processors, and knows
neither ``notmpcopyup`` nor empty words, so the service's own form is filled in here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runcommit_core import Image, Job, Mount, UsageError
from runcommit_podman import DOCKERS_CAPABILITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CPU_PERIOD = 100_000
_MODES = ("none", "host", "bridge", "private", "slirp4netns", "pasta")

_LISTS = {
    "--add-host": "hostadd",
    "--cap-add": "cap_add",
    "--cap-drop": "cap_drop",
    "--dns": "dns_server",
    "--dns-option": "dns_option",
    "--dns-search": "dns_search",
    "--group-add": "groups",
}
_MAPS = {
    "--annotation": "annotations",
    "--env": "env",
    "-e": "env",
    "--label": "labels",
    "-l": "labels",
    "--sysctl": "sysctl",
}
_TEXTS = {"--hostname": "hostname", "-h": "hostname", "--tz": "timezone", "--umask": "umask"}
_NAMESPACES = {"--cgroupns": "cgroupns", "--ipc": "ipcns", "--pid": "pidns", "--uts": "utsns"}
_SWITCHES = {"--init": "init", "--no-hosts": "use_image_hosts", "--privileged": "privileged"}


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
        "cap_add": list(DOCKERS_CAPABILITIES),
        "env": dict(run.env),
        "user": run.user,
        "work_dir": run.workdir,
        "mounts": [_mount(mount) for mount in run.mounts],
        "resource_limits": _limits(job),
        **_platform(run.platform),
        **_network(run.network),
    }
    for place, value in read_flags(run.flags):
        spec[place] = _joined(spec.get(place), value)
    return json.dumps(spec)


def _joined(there: Any, value: Any) -> Any:
    if isinstance(value, dict) and isinstance(there, dict):
        return there | value
    return [*(there or ()), *value] if isinstance(value, list) else value


def read_flags(words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Flags of ``podman run`` as places in the service's form; UsageError where there is none."""
    queue = iter(words)
    for word in queue:
        flag, separator, value = word.partition("=")
        if flag in _SWITCHES and (not separator or value in ("true", "false")):
            yield _SWITCHES[flag], value != "false"
            continue
        place, form = _place(word, flag)
        if not separator and (value := next(queue, "")) == "":
            raise UsageError(f"--run-flag {word!r} needs a value")
        yield place, form(value)


def _place(word: str, flag: str) -> tuple[str, Callable[[str], Any]]:
    forms: tuple[tuple[dict[str, str], Callable[[str], Any]], ...] = (
        (_LISTS, lambda value: [value]),
        (_MAPS, lambda value: dict([value.partition("=")[::2]])),
        (_TEXTS, lambda value: value),
        (_NAMESPACES, lambda value: {"nsmode": value}),
    )
    for places, form in forms:
        if flag in places:
            return places[flag], form
    known = sorted({*_LISTS, *_MAPS, *_TEXTS, *_NAMESPACES, *_SWITCHES})
    raise UsageError(
        f"--run-flag {word!r} has no counterpart that podman-api knows",
        tip=f"it knows {', '.join(known)}; the backend podman takes all flags of `podman run`",
    )


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


def _limits(job: Job) -> dict[str, Any]:
    """As ``podman run`` counts them: as much swap as memory."""
    limits: dict[str, Any] = {}
    if job.run.memory:
        limits["memory"] = {"limit": job.run.memory, "swap": 2 * job.run.memory}
    if job.run.cpus:
        limits["cpu"] = {"period": _CPU_PERIOD, "quota": int(job.run.cpus * _CPU_PERIOD)}
    return limits


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
