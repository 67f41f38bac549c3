"""An image that another job is just pulling: podman describes none that shares its layers."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from tests.test_backends import bench_without_copies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.testing import Base, Bench
    from tests.hosts import Host

pytestmark = pytest.mark.hosts("podman", "podman-rootless", "podman-api", "podman-api-rootless")


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Iterator[Bench]:
    with bench_without_copies(host, shared_tmp) as found:
        yield found


@pytest.fixture
def unfinished(host: Host, bench: Bench) -> Iterator[tuple[Base, Path]]:
    """A base whose copy the store has, and the manifest, not there yet, of one with its layers."""
    layers = [bases.busybox_layer(), bases.file_layer("unfinished", os.urandom(8))]
    before = copies(host)
    neighbour = bases.write_layout(bench.folder / "neighbour", layers, {"Env": ["A=B"]})
    bench.job(neighbour.ref, "-c", ":")
    (image,) = copies(host) - before
    base = bases.write_layout(bench.folder / "base", layers)
    bench.job(base.ref, "-c", ":")
    manifest = Path(host.containers).parents[1] / "overlay-images" / image / "manifest"
    manifest.rename(manifest.with_suffix(".later"))
    yield base, manifest
    with contextlib.suppress(FileNotFoundError):
        finish(manifest)


def copies(host: Host) -> set[str]:
    listed = host.run("podman", "images", "--no-trunc", "--quiet", "localhost/runcommit/base")
    return {line.removeprefix("sha256:") for line in listed.stdout.split()}


def finish(manifest: Path) -> None:
    manifest.with_suffix(".later").rename(manifest)


def test_a_job_on_the_same_layers_runs(bench: Bench, unfinished: tuple[Base, Path]):
    base, _ = unfinished
    assert bench.job(base.ref, "-c", "echo new > /new").diff_id


def test_listing_waits_for_it(host: Host, unfinished: tuple[Base, Path]):
    _, manifest = unfinished
    words = ("prune", "--bases", "--dry-run")
    assert "consider removing the image" in host.runcommit(*words, check=False).stderr
    timer = threading.Timer(0.5, finish, [manifest])
    timer.start()
    listed = host.runcommit(*words)
    timer.join()
    assert "localhost/runcommit/base" in listed.stdout
