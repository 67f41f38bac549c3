"""The contract on every host: each engine, rootful and rootless."""

from __future__ import annotations

import contextlib
import functools
import json
from typing import TYPE_CHECKING, ClassVar

import pytest

from runcommit_core.testing import BackendContract, Bench
from tests.options_table import record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hosts import Host

LIST_IMAGES = {
    "docker": ("docker", "images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
    "podman": ("podman", "images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.Id}}"),
    "buildah": ("buildah", "images", "--all", "--format", "{{.Name}}:{{.Tag}} {{.ID}}"),
    # layers that are not unpacked to their end
    "native": ("sh", "-c", 'find "$RUNCOMMIT_NATIVE_STORE" -maxdepth 3 -path "*/layers/*.*"'),
}
REMOVE = {
    name: (name, "rmi", *(("--no-prune",) if name == "docker" else ()))
    for name in ("docker", "podman", "buildah")
}
CACHED = "localhost/runcommit/base:"


_OF_THE_CORE = ("CommandContract", "OutputContract", "ResultContract", "ShapingContract")
"""Parts of the contract in which storage has no say, nor a user's own service."""


@pytest.mark.hosts("*")
class TestBackends(BackendContract):
    left_out: ClassVar = dict.fromkeys(
        ("podman-vfs", "buildah-vfs", "buildah-rootless-chroot", "podman-api-rootless"),
        _OF_THE_CORE,
    )

    @pytest.fixture
    def bench(self, host: Host, shared_tmp: Path) -> Bench:
        return host_bench(host, shared_tmp)

    @pytest.fixture(autouse=True)
    def _host(self, host: Host) -> None:
        self.host = host

    def run_image(self, bench: Bench, name: str) -> str:
        try:
            return run_on(self.host, name)
        finally:
            self.host.run(*REMOVE[self.host.program], name)


def run_on(host: Host, name: str) -> str:
    """What a container of an image says, with the engine of a host."""
    if host.backend != "buildah":
        flags = ("--rm", "--network=none", "--pull=never")
        return host.run(host.program, "run", *flags, name).stdout
    # buildah runs no image: it takes its words from the command line alone
    container = host.run("buildah", "from", "--pull-never", name).stdout.strip()
    config = json.loads(host.run("buildah", "inspect", container).stdout)["OCIv1"]["config"]
    words = (*config.get("Entrypoint", ()), *config.get("Cmd", ()))
    try:
        return host.run("buildah", "run", "--network=host", container, "--", *words).stdout
    finally:
        host.run("buildah", "rm", container)


@contextlib.contextmanager
def bench_without_copies(host: Host, folder: Path) -> Iterator[Bench]:
    """A bench in a new folder of the host's user; the copies of its bases go at the end."""
    host.run("mkdir", folder / "here")
    yield host_bench(host, folder / "here")
    host.runcommit("prune", "--bases", check=False)


def host_bench(host: Host, folder: Path) -> Bench:
    """A bench on a host; its engine's containers and images are what must not stay."""

    def resources() -> set[str]:
        images = host.run(*LIST_IMAGES[host.program]).stdout.splitlines()
        return host.leftovers() | {image for image in images if not image.startswith(CACHED)}

    return Bench(
        backend=host.backend,
        folder=folder,
        command=(*host.launcher, host.python, "-m", "runcommit_core"),
        env=host.env,
        resources=resources,
        isolated=host.spec.isolation != "chroot",
        observe=functools.partial(record.add, host.name),
    )
