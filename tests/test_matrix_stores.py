"""Stores that compare directories by size and time: our own comparison takes their place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import Bench, bases
from tests.filecases import EVERYWHERE
from tests.filelists import by_case, layer_of, lines_of
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.filecases import Case
    from tests.hosts import Host

VFS = 'driver = "vfs"'
FUSE = 'driver = "overlay"\n[storage.options.overlay]\nmount_program = "/usr/bin/fuse-overlayfs"'
BEYOND_FUSE = {"longest-name", "long-names", "owner"}
"""Where fuse-overlayfs 1.10 is a file system unlike the others.

It takes no names that leave no room for a whiteout's prefix, shows two names of one long path as
two files to whoever mounts it anew, and gives a symlink the present time with its new owner.  (1.14
makes fifos without the umask, so the cases say their mode.)
"""

LOST = (
    "cd /data; rm -r tree; mkdir tree; echo -n new > tree/new;"
    " touch -r changed /tmp/time; echo -n CHANGED > changed; touch -r /tmp/time changed;"
    " rm /tmp/time"
)
"""What comparing by size and time loses, and what fuse-overlayfs forgets."""

KEPT = [
    "- data/tree/leaf",
    "d 755 0:0 data",
    "d 755 0:0 data/tree",
    "f 644 0:0 data/changed = CHANGED",
    "f 644 0:0 data/tree/new = new",
]


def with_store(host: Host, bench: Bench, name: str, storage: str) -> Bench:
    """The same bench on an empty store of its own, which the session's end removes."""
    place = Path(host.home).parent
    config = place / f"{name}.conf"
    head, _, options = storage.partition("\n")
    config.write_text(
        f'[storage]\n{head}\ngraphroot = "{place}/{name}"\n'
        f'rootless_storage_path = "{place}/{name}"\n'
        f'runroot = "{host.env["XDG_RUNTIME_DIR"]}/{name}"\n{options}\n'
    )
    config.chmod(0o644)
    return replace(bench, env={**host.env, "CONTAINERS_STORAGE_CONF": str(config)})


def check(bench: Bench, cases: Sequence[Case] = EVERYWHERE) -> None:
    """What is lost elsewhere, and all cases."""
    base = bases.busybox(bench.folder / "busybox")
    layer = bench.folder / "layer.tar"
    assert bench.job(base.ref, "-c", LOST, "-o", layer).diff_id
    assert lines_of(layer) == KEPT
    many = bases.write_layout(bench.folder / "many", [bases.busybox_layer(), layer_of(cases)])
    commands = [word for case in cases for word in ("-c", case.script)]
    assert bench.job(many.ref, *commands, "-o", layer).diff_id
    listed = by_case(layer)
    wrong = {
        case.name: (listed.get(case.name, []), case.expected)
        for case in cases
        if listed.get(case.name, []) != sorted(case.expected)
    }
    assert wrong == {}


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


@pytest.mark.hosts("podman-vfs", "buildah-vfs")
def test_nothing_is_lost_on_vfs(bench: Bench) -> None:
    base = bases.busybox(bench.folder / "busybox")
    layer = bench.folder / "layer.tar"
    assert bench.job(base.ref, "-c", LOST, "-o", layer).diff_id
    assert lines_of(layer) == KEPT


@pytest.mark.hosts("podman-rootless", "buildah-rootless")
def test_rootless_vfs_is_read_in_its_namespace(host: Host, bench: Bench) -> None:
    check(with_store(host, bench, "vfs-store", VFS))


@pytest.mark.hosts("podman", "buildah", "buildah-chroot")
def test_fuse_overlayfs_is_not_believed(host: Host, bench: Bench) -> None:
    cases = [case for case in EVERYWHERE if case.name not in BEYOND_FUSE]
    check(with_store(host, bench, "fuse-store", FUSE), cases)


@pytest.mark.hosts("podman-vfs")
def test_shifted_ids_are_refused(bench: Bench) -> None:
    base = bases.busybox(bench.folder / "busybox")
    ran = bench.job(base.ref, "--run-flag=--uidmap=0:100000:65536", "-c", "echo x > /tmp/x")
    assert ran.returncode == 4, ran.stderr
    assert "user namespace" in ran.stderr
