"""What else makes an image with one more layer, each in its own best way and script."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import engines
from benchmarks.measure import nothing
from runcommit_core.testing.bases import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.bases import Base
    from benchmarks.changes import Change
    from tests.hosts import Host

SCRIPTS = Path(__file__).with_name("ways")


@dataclass(frozen=True, slots=True)
class Peer:
    """A script and what it starts from; ``form`` is that of the image that it makes."""

    name: str
    script: str
    base: str
    form: str
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[Path], object] = lambda _result: None
    tidy: Callable[[], object] = nothing

    def run(self, host: Host, change: Change, result: Path) -> None:
        text = (SCRIPTS / self.script).read_text()
        words: tuple[str | Path, ...] = (self.base, change.command, result, *self.options)
        host.run("sh", "-c", text, self.script, *words, env=self.env)

    def finish(self, change: Change, result: Path) -> None:
        """Fail unless the image's new layer holds the change; remove the image."""
        name = ":result" if self.form == "oci" else ""
        change.check_image(f"{self.form}:{result}{name}")
        if result.is_dir():
            shutil.rmtree(result)
        else:
            result.unlink()
        self.tidy()


def peers(host: Host, base: Base) -> list[Peer]:
    """The peers that work with a host's engine.

    umoci has no engine: it stands beside buildah, which has no daemon either.
    """
    options = engines.network(host)
    if host.backend == "docker":
        return [_docker_build(host, base, options)]
    if host.backend == "podman":
        saved = "podman run, commit, save"
        return [Peer(saved, "podman.sh", base.tag, "docker-archive", options)]
    if host.backend == "buildah":
        pushed = "buildah run, commit, push"
        found = [Peer(pushed, "buildah.sh", base.tag, "oci", options)]
        return [*found, _umoci(base)] if host.name == "buildah" else found
    return []


def _docker_build(host: Host, base: Base, options: tuple[str, ...]) -> Peer:
    buildkit = engines.builder(host, base)
    name = f"docker build ({'BuildKit' if buildkit else 'classic builder'}), save"
    env = buildkit or {"BUILDER": "docker", "DOCKER_BUILDKIT": "0"}
    tidy = functools.partial(engines.prune_builds, host)
    return Peer(name, "docker-build.sh", base.tag, "docker-archive", options, env, tidy=tidy)


def _umoci(base: Base) -> Peer:
    copy = functools.partial(_copy_layout, base.layout)
    return Peer("umoci unpack, runc, repack", "umoci.sh", NAME, "oci", prepare=copy)


def _copy_layout(layout: Path, target: Path) -> None:
    """Copy what umoci writes to, link the blobs, which it only adds to."""
    (target / "blobs/sha256").mkdir(parents=True)
    for name in ("index.json", "oci-layout"):
        shutil.copy(layout / name, target / name)
    for blob in (layout / "blobs/sha256").iterdir():
        (target / "blobs/sha256" / blob.name).hardlink_to(blob)
