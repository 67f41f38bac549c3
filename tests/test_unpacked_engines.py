"""Layers that are unpacked for the engine, where their end lies about what they hold."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.hosts import Host

pytestmark = pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless")
BLOCK = 4096


def compress_in_two(cut: int) -> Callable[[bytes], bytes]:
    """A compressor to a gzip stream of two members, of which the last one's size is at its end."""
    return lambda layer: gzip.compress(layer[:cut]) + gzip.compress(layer[cut:])


def test_one_member_and_several_give_one_layer(host: Host, shared_tmp: Path):
    host.run("mkdir", shared_tmp / "here")
    bench = host_bench(host, shared_tmp / "here")
    found = set()
    for cut, compress in (
        ("none", gzip.compress),
        ("first", compress_in_two(BLOCK)),
        ("last", compress_in_two(-BLOCK)),
    ):
        layers = [bases.busybox_layer(), bases.file_layer(cut, bytes(1 << 20))]
        base = bases.write_layout(bench.folder / cut, layers, compress=compress)
        job = (base.ref, "-vv", "-c", "echo new > /new", "--transport")
        cold, warm = (bench.job(*job, transport) for transport in ("auto", "registry"))
        assert "using archives" not in cold.stderr
        assert ("as they are stored" in cold.stderr) is (cut != "none")
        found |= {cold.diff_id, warm.diff_id}
    host.runcommit("prune", "--bases", check=False)
    assert len(found) == 1
