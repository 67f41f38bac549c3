"""Layers merged into one hold what the layers hold, and engines take a base of any depth."""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import pytest

from runcommit_core.index.index import BaseIndex
from runcommit_core.index.merging import write_merged
from runcommit_core.testing import Bench, bases
from runcommit_core.testing.bench import image_config
from tests import oddbases
from tests.filecases import EVERYWHERE
from tests.filelists import layer_of
from tests.tars import Member, diff_id, directory, hardlink, symlink, tar
from tests.test_backends import host_bench
from tests.test_odd_bases import lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node
    from tests.hosts import Host

CAPABLE = {b"SCHILY.xattr.security.capability": b"\1\0\0\2" + bytes(16)}
LAYERS = {
    "what tools write": [oddbases.LOW, tar(oddbases.sparse(b"odd/sparse"), *oddbases.HIGH)],
    "all cases": [layer_of(EVERYWHERE), tar(*oddbases.SYSTEM)],
    "links over layers": [
        tar(directory(b"d"), Member(b"d/a", content=b"old"), hardlink(b"d/b", b"d/a")),
        tar(Member(b"d/a", content=b"new"), hardlink(b"d/c", b"d/b"), symlink(b"e", b"d")),
        tar(Member(b"d/.wh.b", mode=0), Member(b"d/f", content=b"f", pax=CAPABLE)),
        tar(directory(b"d", mode=0o700), Member(b"d/empty"), Member(b"x/y/z", content=b"z")),
    ],
    "directories come and go": [
        tar(directory(b"d"), Member(b"d/a"), directory(b"d/s"), Member(b"d/s/t")),
        tar(Member(b"d/.wh..wh..opq", mode=0), directory(b"d"), Member(b"d/n")),
        tar(Member(b"d/n/m"), Member(b"d/.wh.n", mode=0)),
        tar(Member(b".wh.d", mode=0)),
        tar(directory(b"d"), Member(b"d/last")),
    ],
}


def nodes(tree: BaseTree) -> dict[bytes, Node]:
    """All that a tree has; which of a file's names is the first is left out."""
    found: dict[bytes, Node] = {}
    pending = [b""]
    while pending:
        above = pending.pop()
        for name in tree.children(above):
            path = above + b"/" * bool(above) + name
            node = tree.get(path)
            assert node is not None
            found[path] = node._replace(implied=False, group=b"")
            if node.kind.value == "5":
                pending.append(path)
    return found


def names_of_one(tree: BaseTree) -> set[frozenset[bytes]]:
    groups: dict[object, set[bytes]] = {}
    for path, node in nodes(tree).items():
        if node.kind.value == "0":
            groups.setdefault(tree.origin(path), set()).add(path)
    return {frozenset(group) for group in groups.values()}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_one_layer_is_what_many_are(layers: Sequence[bytes], tmp_path: Path) -> None:
    index = BaseIndex(tmp_path)
    for data in layers:
        index.add(diff_id(data), io.BytesIO(data))
    with index.tree([diff_id(data) for data in layers]) as tree:
        merged = io.BytesIO()
        opened = [functools.partial(io.BytesIO, data) for data in layers]
        found, size = write_merged(tree, opened, merged)
        data = merged.getvalue()
        assert (found, size) == (diff_id(data), len(data))
        index.add(found, io.BytesIO(data))
        with index.tree([found]) as one:
            one.check_links()
            assert nodes(one) == nodes(tree)
            assert names_of_one(one) == names_of_one(tree)


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


DEPTH = 135


@pytest.mark.hosts("docker", "buildah-rootless")
def test_a_base_of_any_depth_runs(bench: Bench) -> None:
    single = [tar(directory(b"deep"), Member(b"deep/%d" % n)) for n in range(DEPTH)]
    config = {"WorkingDir": "/new"}
    base = bases.write_layout(bench.folder / "base", [bases.busybox_layer(), *single], config)
    image = bench.folder / "image"
    count = f"test $(ls /deep | wc -l) = {DEPTH}; rm /deep/7 /deep/134; echo -n n > /deep/0"
    expected = [
        "- deep/134",
        "- deep/7",
        "d 755 0:0 deep @1600000000",
        "d 755 0:0 new",
        "f 644 0:0 deep/0 = n",
    ]
    assert lines(bench, base, count, "--image", str(image)) == expected
    assert lines(bench, base, count) == expected  # the engine has the copy by now
    assert image_config(image)["rootfs"]["diff_ids"][:-1] == list(base.diff_ids)


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
def test_a_sparse_file_goes_by_archive(bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base")
    command = "cd /odd; test $(wc -c < sparse) = 1048580; rm x* up"
    for _ in range(2):
        by_archive = lines(bench, base, command, "--transport", "archive")
        assert by_archive == lines(bench, base, command)
