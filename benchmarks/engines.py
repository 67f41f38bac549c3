"""What a benchmark asks of an engine itself: take an image in, run a command on it, forget all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.bases import Base
    from tests.hosts import Host

_FORGET = {
    "docker": "docker image ls --all --quiet | sort -u | xargs -r docker rmi --force",
    "podman": "podman rmi --all --force",
    "buildah": "buildah rmi --all --force",
}
_BUILDAH_RUN = """\
container=$(buildah from --pull=never --quiet "$1") || exit
shift
buildah run "$@" || exit
buildah rm "$container" >/dev/null
"""


def network(host: Host) -> tuple[str, ...]:
    """The options that keep a run off the network; chroot isolation has none."""
    return () if host.spec.isolation == "chroot" else ("--network", "none")


def bare_run(host: Host, base: Base, command: str) -> None:
    """Run a command on an image that the engine has, keep nothing: no program can be faster."""
    words = ("sh", "-c", command)
    if host.backend != "buildah":
        host.run(host.backend, "run", "--rm", *network(host), base.tag, *words)
        return
    script = _BUILDAH_RUN.replace('"$@"', f'{" ".join(network(host))} "$container" -- "$@"')
    host.run("sh", "-c", script, "bare-run", base.tag, *words)


def imports(host: Host, base: Base) -> dict[str, tuple[str, ...]]:
    """The engine's own ways of taking the base in, each under what to call it."""
    oci, archive = base.ref, str(base.archive)
    if host.backend == "docker":
        return {"docker load": ("docker", "load", "--quiet", "--input", archive)}
    if host.backend == "podman":
        return {
            "podman load": ("podman", "load", "--quiet", "--input", archive),
            "podman pull oci:": ("podman", "pull", "--quiet", oci),
        }
    return {
        "buildah pull docker-archive:": ("buildah", "pull", "--quiet", f"docker-archive:{archive}"),
        "buildah pull oci:": ("buildah", "pull", "--quiet", oci),
    }


def take_in(host: Host, base: Base) -> None:
    """Have the engine hold the base under its tag."""
    host.run(*next(iter(imports(host, base).values())))


def forget(host: Host) -> None:
    """Remove every image of this private engine, and what runcommit knows about bases."""
    host.run("sh", "-c", _FORGET[host.backend])
    shutil.rmtree(Path(host.home) / ".cache/runcommit", ignore_errors=True)


def version(host: Host) -> str:
    """The first line that the engine says about its version."""
    return host.run(host.backend, "--version").stdout.splitlines()[0]
