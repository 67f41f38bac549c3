"""What a benchmark asks of an engine itself: take an image in, run a command on it, forget all."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.bases import Base
    from tests.hosts import Host

    Words = tuple[str | Path, ...]

_FORGET = {
    "docker": "docker image ls --all --quiet | sort -u | xargs -r docker rmi --force;"
    " docker builder prune --all --force >/dev/null",
    "podman": "podman rmi --all --force",
    "buildah": "buildah rmi --all --force",
}
_HELD = "benchmark-held"
_HELD_IMAGE = f"localhost/benchmark/{_HELD}"
_TRIED = "localhost/benchmark/tried"
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
    if host.program != "buildah":
        host.run(host.program, "run", "--rm", *network(host), base.tag, *words)
        return
    script = _BUILDAH_RUN.replace('"$@"', f'{" ".join(network(host))} "$container" -- "$@"')
    host.run("sh", "-c", script, "bare-run", base.tag, *words)


def hold(host: Host, base: Base, command: str) -> None:
    """Run a command in a container that stays, for :func:`commit_and_tar`."""
    words = ("sh", "-c", command)
    if host.program != "buildah":
        host.run(host.program, "run", "--name", _HELD, *network(host), base.tag, *words)
        return
    host.run("buildah", "from", "--pull=never", "--quiet", "--name", _HELD, base.tag)
    host.run("buildah", "run", *network(host), _HELD, "--", *words)


def commit_and_tar(host: Host, sample: Path, tar: Path) -> None:
    """The engine's commit of the held container, then a tar of the same files by tar alone."""
    script = '"$1" commit "$2" "$3" && tar --create --file "$5" --directory "$4" .'
    words = (host.program, _HELD, _HELD_IMAGE, sample, tar)
    host.run("sh", "-c", script, "commit-and-tar", *words)


def let_go(host: Host) -> None:
    """Remove what :func:`hold` and :func:`commit_and_tar` made."""
    host.run(host.program, "rm", _HELD)
    host.run(host.program, "rmi", _HELD_IMAGE)


def builder(host: Host, base: Base) -> dict[str, str] | None:
    """The variables for a docker client that builds with BuildKit, None where none of them can.

    A newer client without buildx cannot, one of the daemon's own age beside it may.
    """
    for client in host.run("which", "-a", "docker").stdout.split():
        env = {"BUILDER": client, "DOCKER_BUILDKIT": "1"}
        words = (client, "build", "--quiet", "--tag", _TRIED, "-")
        if not host.run(*words, check=False, env=env, stdin=f"FROM {base.tag}\n").returncode:
            host.run("docker", "rmi", "--no-prune", _TRIED)
            return env
    return None


def prune_builds(host: Host) -> None:
    """Remove what docker's builds keep."""
    host.run("docker", "builder", "prune", "--all", "--force")


def imports(host: Host, base: Base) -> dict[str, dict[str, Words]]:
    """The engine's own ways of taking the base in: per reference, under what to call them."""
    if host.program == "buildah":
        return {
            reference: {f"buildah pull {form}:": ("buildah", "pull", "--quiet", reference)}
            for form, reference in (("oci", base.ref), ("docker-archive", base.archive_ref))
        }
    load: Words = (host.program, "load", "--quiet", "--input", base.archive)
    from_archive = {f"{host.program} load": load}
    # The layout holds a manifest.json for this: docker reads no other description of an image.
    piped: Words = ("sh", "-c", 'tar -C "$1" -c . | docker load --quiet', "load", base.layout)
    pull: Words = ("podman", "pull", "--quiet", base.ref)
    from_layout = {
        "docker": {"tar, docker load": piped},
        "podman": {"podman pull oci:": pull},
    }
    return {base.ref: from_layout[host.program], base.archive_ref: from_archive}


def take_in(host: Host, base: Base) -> None:
    """Have the engine hold the base under its tag."""
    for way in imports(host, base)[base.archive_ref].values():
        host.run(*way)


def forget(host: Host) -> None:
    """Remove every image of this private engine, and what runcommit knows about bases."""
    host.run("sh", "-c", _FORGET[host.program])
    shutil.rmtree(Path(host.home) / ".cache/runcommit", ignore_errors=True)


def version(host: Host) -> str:
    """What the engine says about its version; of docker that is the daemon."""
    if host.program == "docker":
        server = host.run("docker", "version", "--format", "{{.Server.Version}}").stdout.strip()
        return f"{server} (client: {_version_line(host)})"
    return _version_line(host)


def _version_line(host: Host) -> str:
    return host.run(host.program, "--version").stdout.splitlines()[0]
