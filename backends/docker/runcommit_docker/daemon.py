"""The daemon that docker's client would talk to: where it is, what it is, and what it lacks."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core import (
    EngineOptions,
    Finding,
    Lack,
    Place,
    UsageError,
    flag_values,
    mounts_elsewhere,
    place_at,
    place_finding,
    process,
    space_finding,
    version_finding,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from runcommit_core import RunOptions

PROGRAM = "docker"
OLDEST = (20, 10)
_CHOOSING = dict.fromkeys(("-H", "--host", "-c", "--context"), "daemon")
_CONTAINERD_STORE = "io.containerd.snapshotter"
_DEFAULT = "unix:///var/run/docker.sock"
_LIMITS = {"memory": "{{.MemoryLimit}}", "cpus": "{{.CPUCfsQuota}}"}
_NO_CGROUP = (
    "rootless: delegate cpu and memory to the user (systemctl edit user@.service); else start the"
    " kernel with cgroup_enable=memory"
)
_OF_THIS_MACHINE = (
    "choose a daemon of this machine by its unix socket (DOCKER_HOST, docker context), or podman or"
    " buildah"
)
VARIABLES = (
    *("DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST"),
    *("DOCKER_TLS_VERIFY", "NERDCTL_TOML"),
)
CURES = {
    r"permission denied .{0,80}docker|docker\.sock: connect: permission denied": (
        "join the group docker (as root: `usermod -aG docker USER`) and log in again, or use a"
        " rootless daemon"
    ),
    r"client version \S+ is too new": (
        "set DOCKER_API_VERSION to the version that the daemon names, or update the daemon"
    ),
    r"docker daemon at (tcp|ssh)"
    r"|(error during|failed to) connect.{0,600}(ssh: |dial tcp|timed out|refused)": (
        "is that machine up, and is its engine (or sshd) at that address?  `docker context ls`"
        " shows where docker looks"
    ),
    r"cannot connect to the docker daemon|error during connect|failed to connect to the docker": (
        "start the daemon (`systemctl start docker`), or set DOCKER_HOST or the context right"
    ),
}
NO_ROOT = Lack(
    "verify",
    "only root on the daemon's own machine, with overlay2, can look into docker's containers",
    "leave --verify out, or choose podman or buildah",
)


def place_of(engine: EngineOptions) -> Place:
    """Look at what docker's client looks at, in its order; a current context becomes a flag.

    Raises UsageError for a context that docker does not know.
    """
    if any(flag_values(engine.flags, _CHOOSING)):
        return _asked(engine)
    if address := os.environ.get("DOCKER_HOST"):
        return place_at(address, engine)
    context = os.environ.get("DOCKER_CONTEXT") or client_config(engine)[1].get("currentContext")
    if not context or context == "default":
        return place_at(_DEFAULT, engine)
    return _asked(replace(engine, flags=(*engine.flags, "--context", context)))


def client_config(engine: EngineOptions) -> tuple[Path, dict[str, Any]]:
    """The folder of the client's configuration, and what its ``config.json`` says, if anything."""
    flags = {**_CHOOSING, "--config": "config"}
    named = dict(flag_values(engine.flags, flags)).get("config") or os.environ.get("DOCKER_CONFIG")
    folder = Path(named) if named else Path.home() / ".docker"
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        config = None
    return folder, config if isinstance(config, dict) else {}


def lacking(engine: EngineOptions, run: RunOptions, wanted: Collection[str]) -> Iterator[Lack]:
    """Mounts on another machine, limits without cgroups, roots of somebody else's containers.

    The daemon is asked only what matters for what is wanted.
    """
    if "mount" in wanted and not (place := place_of(engine)).here:
        yield mounts_elsewhere("docker's daemon", place.address, run, tip=_OF_THIS_MACHINE)
    if limits := [name for name in _LIMITS if name in wanted]:
        able = info(engine, " ".join(map(_LIMITS.__getitem__, limits))).split()
        for name, answer in zip(limits, able, strict=False):
            if answer == "false":
                said = f"docker's daemon cannot keep to --{name}: it lacks the cgroup controller"
                yield Lack(name, said, _NO_CGROUP)
    if "verify" in wanted and (os.geteuid() != 0 or not place_of(engine).here):
        yield NO_ROOT


def described(engine: EngineOptions) -> dict[str, Any]:
    """What EngineInfo has of the daemon."""
    answer = process.attempt(*engine.command(PROGRAM), "info", "--format", "{{json .}}")
    try:
        facts = json.loads(answer.output)
    except ValueError:
        facts = {}
    if answer.returncode or not facts or facts.get("ServerErrors"):
        return {"problem": (facts.get("ServerErrors") or [answer.words.strip()])[0]}
    rootless = any("rootless" in item for item in facts["SecurityOptions"] or ())
    return {"version": facts["ServerVersion"], "rootless": rootless, "storage": facts["Driver"]}


def findings(engine: EngineOptions, naive: Collection[str]) -> list[Finding]:
    """What the doctor finds; ``naive`` are the storage drivers that miss changes."""
    place = place_of(engine)
    facts = json.loads(info(engine, "{{json .}}"))
    version, runtime = facts.get("CgroupVersion", "?"), facts.get("DefaultRuntime", "?")
    cgroups = f"cgroups version {version}, {facts.get('CgroupDriver', '?')}"
    folder = facts.get("DockerRootDir") if place.here else ""
    return [
        version_finding(PROGRAM, facts["ServerVersion"], OLDEST),
        place_finding("daemon", place),
        _storage(facts, naive),
        Finding("ok", "runtime", f"{runtime}, {cgroups}"),
        *([space_finding("store space", folder)] if folder else []),
    ]


def info(engine: EngineOptions, template: str) -> str:
    """What ``docker info`` says in that form."""
    return process.output(*engine.command(PROGRAM), "info", "--format", template)


def _storage(facts: dict[str, Any], naive: Collection[str]) -> Finding:
    driver = facts["Driver"]
    if _CONTAINERD_STORE in json.dumps(facts.get("DriverStatus")):
        return Finding(
            "info", "storage", f"containerd image store ({driver}): each commit walks the base,"
            " and --verify is refused",
            "for speed, the overlay2 driver: features.containerd-snapshotter false in daemon.json",
        )  # fmt: skip
    if driver in naive:
        return Finding(
            "problem", "storage", f"{driver} finds changes by size and time, and so misses some",
            "use overlay2 or the containerd image store (storage-driver in daemon.json)",
        )  # fmt: skip
    return Finding("ok", "storage", driver)


def _asked(engine: EngineOptions) -> Place:
    words = ("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
    with process.for_real():
        answer = process.attempt(*engine.command(PROGRAM), *words)
    if answer.returncode:
        raise UsageError(
            f"docker cannot tell where its daemon is: {answer.words.strip()}",
            tip="`docker context ls` shows the contexts",
        )
    return place_at(answer.output.strip(), engine)
