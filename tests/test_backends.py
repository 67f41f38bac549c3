"""The contract on every host: each engine, rootful and rootless."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import BackendContract, Bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

LIST_IMAGES = {
    "docker": ("docker", "images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"),
    "podman": ("podman", "images", "--all", "--format", "{{.Repository}}:{{.Tag}} {{.Id}}"),
    "buildah": ("buildah", "images", "--all", "--format", "{{.Name}}:{{.Tag}} {{.ID}}"),
}
CACHED = "localhost/runcommit/base:"


class TestBackends(BackendContract):
    @pytest.fixture
    def bench(self, host: Host, shared_tmp: Path) -> Bench:
        return host_bench(host, shared_tmp)


def host_bench(host: Host, folder: Path) -> Bench:
    """A bench on a host; its engine's containers and images are what must not stay."""

    def resources() -> set[str]:
        images = host.run(*LIST_IMAGES[host.backend]).stdout.splitlines()
        return host.leftovers() | {image for image in images if not image.startswith(CACHED)}

    return Bench(
        backend=host.backend,
        folder=folder,
        command=(*host.launcher, host.python, "-m", "runcommit_core"),
        env=host.env,
        resources=resources,
        isolated=host.spec.isolation != "chroot",
    )
