"""Paths of an image, followed over its own symlinks."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from runcommit_core.index.index import BaseIndex
from runcommit_core.index.links import MOST_LINKS, Resolved, resolve
from tests.tars import Member, diff_id, directory, symlink, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.index.basetree import BaseTree

CHAIN = [symlink(b"chain%d" % n, b"chain%d" % (n + 1)) for n in range(MOST_LINKS + 1)]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseTree]:
    base = tar(
        directory(b"usr"), directory(b"usr/lib"), Member(b"usr/lib/file"), directory(b"var"),
        symlink(b"lib", b"usr/lib"), symlink(b"var/run", b"../run"), symlink(b"abs", b"/var/run"),
        symlink(b"loop", b"loop"), symlink(b"out", b"../../../usr"), symlink(b"root", b"/"),
        symlink(b"deep", b"lib/./../lib//file"), symlink(b"dangling", b"none/where"),
        symlink(b"through", b"usr/lib/file/../x"), *CHAIN, Member(b"chain%d" % (MOST_LINKS + 1)),
    )  # fmt: skip
    index = BaseIndex(tmp_path_factory.mktemp("index"))
    index.add(diff_id(base), io.BytesIO(base))
    with index.tree([diff_id(base)]) as found:
        yield found


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (b"/", b""),
        (b"/..", b""),
        (b"/root/usr", b"usr"),
        (b"/lib/file", b"usr/lib/file"),
        (b"//lib/.//file/", b"usr/lib/file"),
        (b"/lib/..", b"usr"),
        (b"/out/lib", b"usr/lib"),
        (b"/deep", b"usr/lib/file"),
        (b"/chain1", b"chain%d" % (MOST_LINKS + 1)),
    ],
)
def test_links_are_followed_within_the_image(tree: BaseTree, asked: bytes, path: bytes):
    assert resolve(tree, asked) == Resolved(path)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (b"/none", Resolved(b"none", "missing", b"none")),
        (b"/none/../a", Resolved(b"a", "missing", b"none")),
        (b"/abs/x", Resolved(b"run/x", "missing", b"run")),
        (b"/dangling", Resolved(b"none/where", "missing", b"none")),
        (b"/lib/file/x", Resolved(b"usr/lib/file/x", "no directory", b"usr/lib/file")),
        (b"/lib/file/..", Resolved(b"usr/lib", "no directory", b"usr/lib/file")),
        (b"/through", Resolved(b"usr/lib/x", "no directory", b"usr/lib/file")),
        (b"/loop/z", Resolved(b"loop/z", "loop", b"loop")),
        (b"/chain0", Resolved(b"chain%d" % MOST_LINKS, "loop", b"chain%d" % MOST_LINKS)),
    ],
)
def test_what_is_in_the_way_is_told_and_the_words_go_on(
    tree: BaseTree, asked: bytes, found: Resolved
):
    assert resolve(tree, asked) == found
