"""The base index: merged look-ups, and trust in nothing that was damaged."""

from __future__ import annotations

import gzip
import hashlib
import io
import multiprocessing
import os
import time
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.index.basetree import BaseTree, with_tree
from runcommit_core.index.index import BaseIndex
from runcommit_core.index.layerfile import IndexDamagedError
from runcommit_core.oci.model import Compression
from runcommit_core.tar.digests import DiffId
from runcommit_core.tar.reader import Kind
from tests.tars import Member, diff_id, directory, hardlink, symlink, tar

if TYPE_CHECKING:
    from runcommit_core.index.node import Node


@pytest.fixture
def index(tmp_path):
    return BaseIndex(tmp_path)


def add(index, data):
    index.add(diff_id(data), io.BytesIO(data))
    return diff_id(data)


@pytest.fixture
def merged(index):
    trees = []

    def merge(*layers):
        tree = index.tree([add(index, tar(*members)) for members in layers])
        trees.append(tree)
        return tree

    yield merge
    for tree in trees:
        tree.close()


def files(tmp_path):
    return sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_attributes(merged):
    tree = merged(
        [
            directory(b"d", mode=0o1777, mtime=5),
            Member(b"./d/f", content=b"abc", mode=0o100644, uid=7, gid=8, mtime=-3),
            symlink(b"d/s", b"../x"),
            Member(b"d/c", b"3", device=(1, 5)),
        ]
    )
    file = tree.get(b"d/f")
    assert (file.kind, file.mode, file.uid, file.gid, file.mtime) == (Kind.REGULAR, 0o644, 7, 8, -3)
    assert (file.size, file.sha256) == (3, hashlib.sha256(b"abc").digest())
    assert tree.get(b"d")[:2] == (Kind.DIRECTORY, 0o1777)
    assert tree.get(b"d/s").link == b"../x"
    assert (tree.get(b"d/c").major, tree.get(b"d/c").minor) == (1, 5)
    assert tree.get(b"").kind is Kind.DIRECTORY
    for absent in (b"e", b"c", b"d/", b"d/e", b"d/f/x", b"d/s/x", b"nowhere/at/all", b"d\x00"):
        assert tree.get(absent) is None
    assert tree.get(b"d/f") == file  # also after it was looked up as a directory
    assert tree.children(b"d") == [b"c", b"f", b"s"]
    assert tree.children(b"d/f") == []
    assert tree.children(b"") == [b"d"]


def test_kept_xattrs(merged):
    v3 = b"\1\0\0\3" + b"c" * 16 + b"root"
    pax = {
        b"SCHILY.xattr.security.capability": v3,
        b"SCHILY.xattr.user.mine": b"a=\0b",
        b"SCHILY.xattr.user.overlay.origin": b"x",
        b"SCHILY.xattr.security.selinux": b"x",
        b"SCHILY.xattr.trusted.overlay.opaque": b"y",
    }
    assert merged([Member(b"f", pax=pax)]).get(b"f").xattrs == {
        b"security.capability": b"\1\0\0\2" + b"c" * 16,
        b"user.mine": b"a=\0b",
    }


def test_layers_are_merged(merged):
    tree = merged(
        [
            directory(b"d", mode=0o700),
            Member(b"d/kept"),
            Member(b"d/gone"),
            directory(b"d/sub"),
            Member(b"d/sub/x"),
            Member(b"file"),
            directory(b"tree"),
            Member(b"tree/x"),
        ],
        [
            directory(b"d", mode=0o755),
            Member(b"d/.wh.gone"),
            Member(b"d/.wh.sub"),
            directory(b"file"),
            Member(b"file/below"),
            symlink(b"tree", b"elsewhere"),
        ],
    )
    assert tree.get(b"d").mode == 0o755
    assert tree.children(b"d") == [b"kept"]
    assert tree.get(b"d/gone") is None
    assert tree.get(b"d/sub/x") is None
    assert tree.get(b"file").kind is Kind.DIRECTORY
    assert tree.get(b"file/below") is not None
    assert tree.get(b"tree").kind is Kind.SYMLINK
    assert tree.get(b"tree/x") is None


@pytest.mark.parametrize("first", [True, False])
def test_opaque_markers_hide_lower_children_only(merged, first):
    upper = [directory(b"d", mode=0o711), Member(b"d/.wh..wh..opq"), Member(b"d/new")]
    tree = merged(
        [directory(b"d"), directory(b"d/sub"), Member(b"d/sub/old"), Member(b"d/old")],
        upper if first else upper[::-1],
    )
    assert tree.get(b"d").mode == 0o711
    assert tree.children(b"d") == [b"new"]
    assert tree.get(b"d/sub/old") is None


def test_opaque_directory_without_entry_keeps_its_attributes(merged):
    tree = merged(
        [directory(b"d", mode=0o700), Member(b"d/old")],
        [Member(b"d/.wh..wh..opq"), Member(b"d/new")],
    )
    assert tree.get(b"d").mode == 0o700
    assert tree.children(b"d") == [b"new"]


def test_opaque_root(merged):
    tree = merged([Member(b"old")], [Member(b".wh..wh..opq"), Member(b"new")])
    assert tree.children(b"") == [b"new"]


def test_whiteout_and_entry_in_one_layer(merged):
    tree = merged(
        [directory(b"d", mode=0o700), Member(b"d/old")],
        [directory(b"d"), Member(b"d/new"), Member(b".wh.d")],
    )
    assert tree.get(b"d").mode == 0o755
    assert tree.children(b"d") == [b"new"]


def test_removed_then_implied_directory(merged):
    tree = merged(
        [directory(b"d", mode=0o700), Member(b"d/old")], [Member(b".wh.d")], [Member(b"d/n")]
    )
    assert tree.get(b"d").mode == 0o755
    assert tree.children(b"d") == [b"n"]


def test_implied_directory_keeps_the_attributes_of_lower_layers(merged):
    tree = merged([directory(b"tmp", mode=0o1777)], [Member(b"tmp/deep/x")])
    assert tree.get(b"tmp").mode == 0o1777
    assert tree.get(b"tmp/deep").mode == 0o755
    assert tree.children(b"tmp") == [b"deep"]


def test_implied_directories_are_marked_where_a_lower_layer_lists_them(merged):
    tree = merged(
        [directory(b"tmp", mode=0o1777), directory(b"opt"), directory(b"own"), Member(b"new/a")],
        [Member(b"tmp/x"), Member(b"opt/.wh..wh..opq"), Member(b"new/b"), directory(b"own")],
        [Member(b"opt/y")],
    )
    marked = {path: tree.get(path).implied for path in (b"tmp", b"opt", b"own", b"new")}
    assert marked == {b"tmp": True, b"opt": True, b"own": False, b"new": False}
    later = merged(
        [directory(b"tmp", mode=0o1777)], [Member(b"tmp/x")], [directory(b"tmp", mode=0o700)]
    )
    assert (later.get(b"tmp").mode, later.get(b"tmp").implied) == (0o700, False)


def test_absolute_names(merged):
    tree = merged(
        [directory(b"/d", mode=0o700), Member(b"/d/f"), hardlink(b"/h", b"/d/f"), Member(b"d/g")],
        [Member(b"/d/.wh.g"), Member(b"//d/./x/../y")],
    )
    assert tree.children(b"") == [b"d", b"h"]
    assert tree.children(b"d") == [b"f", b"y"]
    assert tree.get(b"h").group == b"d/f"


LOW = [directory(b"a"), Member(b"a/a"), Member(b"a/keep"), directory(b"a/sub"), Member(b"b/a")]
ABOVE = [symlink(b"a", b"b"), Member(b"a", content=b"now a file"), Member(b"a", b"6")]


@pytest.mark.parametrize("above", ABOVE, ids=lambda member: member.type.decode())
@pytest.mark.parametrize("mark", [b"a/.wh.a", b"a/sub/.wh.x", b"a/.wh..wh..opq", b"a/gone"])
def test_what_comes_before_a_replacement_says_nothing(merged, mark, above):
    """Kaniko writes whiteouts below what it replaces."""
    tree = merged(LOW, [Member(mark, mode=0), above, directory(b"b"), Member(b"b/new")])
    assert tree.get(b"a").kind.value == above.type.decode()
    assert tree.children(b"a") == []
    assert tree.children(b"b") == [b"a", b"new"]


@pytest.mark.parametrize("mark", [b"a/.wh.x", b"a/x", b"a/x/y"])
def test_nothing_lies_below_a_file_that_came_first(index, mark):
    """Docker refuses all of them, podman some."""
    with pytest.raises(ArchiveError, match="lies below b'a', which is no directory"):
        add(index, tar(Member(b"a"), Member(mark)))


LINKS = {
    "relative": ([directory(b"usr/lib"), symlink(b"lib", b"usr/lib")], b"lib"),
    "absolute": ([directory(b"usr/lib"), symlink(b"lib", b"/usr/lib")], b"lib"),
    "far up": ([directory(b"usr/lib"), symlink(b"x/lib", b"../../../usr/./lib/")], b"x/lib"),
    "late": ([symlink(b"lib", b"usr/lib"), directory(b"usr/lib")], b"lib"),
    "implied": ([symlink(b"lib", b"usr/lib"), Member(b"usr/lib/own")], b"lib"),
    "over another": (
        [directory(b"usr/lib"), symlink(b"l64", b"lib"), symlink(b"lib", b"usr/lib")],
        b"l64",
    ),
    "inside another": (
        [directory(b"usr/lib"), symlink(b"u", b"usr"), symlink(b"usr/l", b"lib")],
        b"u/l",
    ),
    "to the top": ([directory(b"usr/lib"), symlink(b"r", b"/")], b"r/usr/lib"),
}


@pytest.mark.parametrize("case", LINKS)
def test_below_a_link_of_the_same_layer(merged, case):
    """Layers put together from packages, where /lib is a link."""
    before, name = LINKS[case]
    tree = merged(
        [Member(b"usr/lib/old"), Member(b"usr/lib/gone"), Member(b"lib/other")],
        [
            *before,
            Member(name + b"/f", content=b"x"),
            directory(name + b"/d", mode=0o700),
            Member(name + b"/d/deep"),
            Member(name + b"/.wh.gone"),
            hardlink(b"h", name + b"/f"),
            hardlink(b"i", b"usr/lib/f"),
        ],
    )
    assert tree.children(b"usr/lib")[:2] == [b"d", b"f"]
    assert tree.get(b"usr/lib/gone") is None
    assert tree.get(b"usr/lib/old") is not None
    assert tree.get(b"usr/lib/d").mode == 0o700
    assert tree.get(b"usr/lib/d/deep") is not None
    assert tree.get(b"h").sha256 == tree.get(b"i").sha256 == hashlib.sha256(b"x").digest()
    # content is looked for by the name that the tar has
    assert tree.origin(b"usr/lib/f") == (1, name + b"/f")
    tree.check_links()


def test_of_one_path_by_two_names_the_later_counts(merged):
    members = [directory(b"r"), symlink(b"l", b"r"), Member(b"l/f", mode=0o600)]
    assert merged([*members, Member(b"r/f", mode=0o644)]).get(b"r/f").mode == 0o644
    members = [directory(b"r"), symlink(b"l", b"r"), Member(b"r/f", mode=0o644)]
    assert merged([*members, Member(b"l/f", mode=0o600)]).get(b"r/f").mode == 0o600


@pytest.mark.parametrize(
    "links",
    [
        [symlink(b"l", b"nowhere")],
        [symlink(b"l", b"lower")],
        [symlink(b"l", b"l")],
        [symlink(b"l", b"m"), symlink(b"m", b"l")],
        [symlink(b"l", b"f"), Member(b"f")],
    ],
)
def test_below_a_link_that_leads_to_no_directory_of_the_layer(index, links):
    add(index, tar(directory(b"lower")))
    with pytest.raises(ArchiveError, match="below the link b'l', which leads to no directory"):
        add(index, tar(*links, Member(b"l/x")))


def test_many_below_a_link(merged):
    members = [Member(b"lib/%d" % n) for n in range(5000)]
    tree = merged([directory(b"usr/lib"), symlink(b"lib", b"usr/lib"), *members])
    assert len(tree.children(b"usr/lib")) == 5000
    assert tree.children(b"") == [b"lib", b"usr"]


def test_links_to_lower_layers_are_checked(merged):
    low = [directory(b"d"), Member(b"d/f", content=b"x")]
    good = merged(low, [hardlink(b"h", b"d/f"), hardlink(b"i", b"h")])
    good.check_links()
    assert good.get(b"i").sha256 == hashlib.sha256(b"x").digest()
    for bad in ([hardlink(b"h", b"gone")], [hardlink(b"h", b"d")], [hardlink(b"h", b"h")]):
        with pytest.raises(ArchiveError, match="is a hardlink to"):
            merged(low, bad).check_links()
    with pytest.raises(ArchiveError, match="is a hardlink to"):
        merged(low, [Member(b"d/.wh.f")], [hardlink(b"h", b"d/f")]).check_links()


def test_sparse_files_have_their_own_size_and_content(merged):
    pax = {
        b"GNU.sparse.size": b"5000",
        b"GNU.sparse.numblocks": b"1",
        b"GNU.sparse.map": b"4000,3",
        b"GNU.sparse.name": b"var/log/lastlog",
    }
    node = merged([Member(b"GNUSparseFile.1/x", content=b"end", pax=pax)]).get(b"var/log/lastlog")
    content = bytes(4000) + b"end" + bytes(997)
    assert (node.size, node.sha256) == (5000, hashlib.sha256(content).digest())


def test_whiteouts_of_the_longest_names(merged):
    names = [b"x" * 255, b"y" * 252]
    tree = merged([Member(b"d/" + name) for name in names], [Member(b"d/.wh." + names[0])])
    assert tree.children(b"d") == [names[1]]


def test_aufs_metadata_is_skipped(merged):
    tree = merged(
        [directory(b".wh..wh.plnk"), Member(b".wh..wh.plnk/1.2"), Member(b".wh..wh.aufs")]
    )
    assert tree.children(b"") == []


def test_hardlinks(merged):
    tree = merged(
        [
            Member(b"a", content=b"x", mode=0o600),
            hardlink(b"b", b"a", mode=0o600),
            hardlink(b"c", b"b", mode=0o600),
            hardlink(b"e", b"s"),
            symlink(b"s", b"t"),
        ],
        [hardlink(b"d", b"a"), Member(b"a", content=b"new")],
    )
    for name in (b"b", b"c"):
        assert tree.get(name).mode == 0o600
        assert tree.get(name).group == b"a"
    assert tree.get(b"d").sha256 == hashlib.sha256(b"x").digest()
    assert tree.get(b"a").group == b""


def test_the_last_hardlink_says_what_the_file_is_like(merged):
    """Docker and podman set the attributes of each link that they make; ids alone of symlinks."""
    tree = merged(
        [
            Member(b"a", content=b"x", mode=0o444, uid=3, mtime=5),
            hardlink(b"b", b"a", mode=0o640, uid=1, gid=2, mtime=7),
            hardlink(b"c", b"b", mode=0o4600, uid=9, gid=8, mtime=9),
            symlink(b"s", b"t", uid=3, mtime=5),
            hardlink(b"z", b"s", mode=0o600, uid=1, mtime=7),
            Member(b"other", mode=0o444, mtime=5),
            hardlink(b"same", b"other", mode=0o444, mtime=5),
        ]
    )
    for name in (b"a", b"b", b"c"):
        node = tree.get(name)
        assert (node.mode, node.uid, node.gid, node.mtime) == (0o4600, 9, 8, 9)
        assert node.sha256 == hashlib.sha256(b"x").digest()
    for name in (b"s", b"z"):
        assert (tree.get(name).uid, tree.get(name).mtime) == (1, 5)
    for name in (b"other", b"same"):
        assert (tree.get(name).mode, tree.get(name).mtime) == (0o444, 5)


@pytest.mark.parametrize(
    ("lower", "upper"),
    [([], [hardlink(b"x", b"gone")]), ([directory(b"d")], [hardlink(b"x", b"d")])],
)
def test_hardlink_without_a_target(merged, lower, upper):
    with pytest.raises(ArchiveError, match="is a hardlink to"):
        merged(lower, upper).get(b"x")


def test_the_last_of_two_entries_wins(merged):
    assert merged([Member(b"a", mode=0o600), Member(b"a", mode=0o644)]).get(b"a").mode == 0o644


def test_names_that_sort_badly(merged):
    names = [b"a", b"a b", b"a-", b"a\x01", b"a.", b"a0", b"\xff"]
    members = [directory(name) for name in names] + [Member(name + b"/x") for name in names]
    tree = merged(members)
    assert tree.children(b"") == sorted(names)
    assert all(tree.children(name) == [b"x"] for name in names)


def test_deep_paths(merged):
    path = b"/".join([b"d"] * 2000)
    tree = merged([Member(path)])
    assert tree.get(path) is not None
    assert tree.get(path + b"/x") is None


def test_many_layers(merged):
    tree = merged(*([Member(b"%d" % n), Member(b"same", mode=n)] for n in range(60)))
    assert tree.get(b"same").mode == 59
    assert len(tree.children(b"")) == 61


def test_a_layer_is_kept(index, tmp_path):
    data = tar(Member(b"a"))
    assert not index.has(diff_id(data))
    add(index, data)
    assert BaseIndex(tmp_path).has(diff_id(data))
    index.add(diff_id(data), io.BytesIO(b"not read again"))


@pytest.mark.parametrize(
    "data",
    [
        tar(Member(b"a"), end=bytes(512)) + b"junk" * 200,
        tar(Member(b"a", content=b"x" * 2000))[:1500],
        tar(Member(b"a"), Member(b"a/b")),
        tar(Member(b".wh.")),
        tar(Member(b"d/.wh...")),
        tar(Member(b".wh.x/y")),
        tar(directory(b"d"), hardlink(b"h", b"d")),
        tar(Member(b"c", b"3", device=(0, 0))),
    ],
)
def test_a_bad_layer_leaves_nothing(index, tmp_path, data):
    with pytest.raises(ArchiveError):
        add(index, data)
    assert not index.has(diff_id(data))
    assert files(tmp_path) == []


def test_another_layer_than_promised(index, tmp_path):
    promised = diff_id(b"something else")
    with pytest.raises(ArchiveError, match="hash to sha256:"):
        index.add(promised, io.BytesIO(tar(Member(b"a"))))
    assert files(tmp_path) == []


def test_a_diff_id_is_no_path(index):
    with pytest.raises(ArchiveError, match="not a sha256 digest"):
        index.has("sha256:../../etc")


def test_every_flipped_byte_is_noticed(index, tmp_path):
    """Whatever is flipped, a look-up tells the truth or that the index is damaged."""
    data = tar(*(Member(b"%03d" % n, content=b"%d" % n) for n in range(150)))
    name = add(index, data)
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    asked = [b"%03d" % n for n in range(0, 150, 7)] + [b"absent", b"000x", b"0775"]
    with index.tree([name]) as tree:
        truth = [tree.get(asking) for asking in asked]
    noticed = []
    for position in range(0, len(whole), 37):
        path.write_bytes(
            whole[:position] + bytes((whole[position] ^ 0x41,)) + whole[position + 1 :]
        )
        try:
            with index.tree([name]) as tree:
                assert [tree.get(asking) for asking in asked] == truth
        except IndexDamagedError as error:
            noticed.append(error.diff_id)
    assert len(noticed) > 50
    assert set(noticed) == {name}


@pytest.mark.parametrize("size", [0, 50, 4096, 8192, -1])
def test_a_truncated_index_is_rebuilt(index, tmp_path, size):
    data = tar(*(Member(b"%03d" % n) for n in range(300)))
    name = add(index, data)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:size])
    assert not index.has(name)
    assert files(tmp_path) == []
    add(index, data)
    with index.tree([name]) as tree:
        assert tree.get(b"299") is not None


def test_an_index_of_another_layer_is_not_believed(index, tmp_path):
    one, two = tar(Member(b"one")), tar(Member(b"two"))
    add(index, one)
    (path,) = files(tmp_path)
    path.rename(path.with_name(f"{diff_id(two)[7:]}.sqlite3"))
    assert not index.has(diff_id(two))


def test_an_index_that_proves_damaged_midway_is_made_and_used_once_more(index, tmp_path, caplog):
    data = tar(*(Member(b"%03d" % n, content=b"%d" % n) for n in range(300)))
    name = add(index, data)
    (path,) = files(tmp_path)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(2000))
    opened, used = [], []

    def open_tree() -> BaseTree:
        opened.append(index.has(name))
        add(index, data)
        return index.tree([name])

    def use(tree: BaseTree) -> list[Node | None]:
        used.append(len(opened))
        return [tree.get(b"%03d" % n) for n in range(300)]

    assert all(with_tree(open_tree, use))
    assert (opened, used) == ([True, False], [1, 2])
    assert f"the index of base layer {name} is damaged" in caplog.text


def test_an_index_that_is_damaged_twice_is_an_error(index):
    tries = []

    def use(_tree: BaseTree) -> None:
        tries.append(1)
        raise IndexDamagedError(DiffId("sha256:0"), "of a disk that breaks")

    with pytest.raises(IndexDamagedError, match="a disk that breaks"):
        with_tree(lambda: index.tree([]), use)
    assert len(tries) == 2


def test_a_layer_that_is_not_indexed(index):
    with pytest.raises(IndexDamagedError):
        index.tree([diff_id(b"")])


def test_what_killed_writers_left_is_removed(index, tmp_path):
    add(index, tar(Member(b"a")))
    (path,) = files(tmp_path)
    old, young = path.with_name("x.1.aa.tmp"), path.with_name("x.2.bb.tmp")
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 1e6, time.time() - 1e6))
    add(index, tar(Member(b"b")))
    assert not old.exists()
    assert young.exists()


def _add_many(folder, layers):
    for layer in layers:
        add(BaseIndex(folder), layer)


def test_parallel_writers(tmp_path):
    layers = [tar(*(Member(b"%d/%d" % (n, m)) for m in range(200))) for n in range(6)]
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=_add_many, args=(tmp_path, order))
        for order in (layers, layers[::-1], layers)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with BaseIndex(tmp_path).tree([diff_id(layer) for layer in layers]) as tree:
        assert all(tree.get(b"%d/199" % n) for n in range(6))
    assert len(files(tmp_path)) == 6


def chunks(data, size):
    return (data[at : at + size] for at in range(0, len(data), size))


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_feeding(index, compression):
    data = tar(*(Member(b"%d" % n, content=os.urandom(3000)) for n in range(2000)))
    stored = gzip.compress(data, 1) if compression is Compression.GZIP else data
    feeder = index.feeder(diff_id(data), compression)
    for chunk in chunks(stored, 100_000):
        feeder.write(chunk)
    feeder.finish()
    with index.tree([diff_id(data)]) as tree:
        assert tree.get(b"1999").size == 3000


def test_feeding_what_is_indexed_already(index):
    data = tar(Member(b"a"))
    late = index.feeder(diff_id(data), Compression.NONE)
    late.write(b"anything")
    add(index, data)
    late.finish()
    again = index.feeder(diff_id(data), Compression.GZIP)
    again.write(b"anything")
    again.finish()
    assert index.has(diff_id(data))


def test_feeding_is_aborted(index, tmp_path):
    data = tar(Member(b"a", content=b"x" * 1000))
    feeder = index.feeder(diff_id(data), Compression.NONE)
    feeder.write(data[:700])
    feeder.abort()
    feeder.abort()
    assert files(tmp_path) == []


@pytest.mark.parametrize("compression", [Compression.NONE, Compression.GZIP])
def test_feeding_rubbish_is_told_at_the_end_and_never_blocks(index, tmp_path, compression):
    feeder = index.feeder(diff_id(b"x"), compression)
    for _ in range(100):
        feeder.write(b"rubbish" * 10_000)
    with pytest.raises(ArchiveError):
        feeder.finish()
    feeder.finish()
    assert files(tmp_path) == []
