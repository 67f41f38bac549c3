"""One change, told in the dialects of several engines, gives one layer; and it is the right one.

A model tree maps paths to files; hardlinks are equal ``inode`` numbers.  The base is rendered as
a tar, changed at random, and the difference rendered as raw layers that differ in all that
engines differ in.
"""

from __future__ import annotations

import io
import random
import tarfile
import tempfile
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from runcommit_core.layer.canonical import Policy
from tests import layers
from tests.layers import EPOCH
from tests.tars import Member, tar

NAMES = [b"a", b"a b", b"b", b"etc", b"run", b"x-\xc3\xa9", b"n\n\xff", b"l" * 70]
TIMES = [0, 1_500_000_000, EPOCH - 1, EPOCH, EPOCH + 77, -9]
CONTENTS = [b"", b"1", b"2", b"long " * 200]
CAPABILITY = b"\1\0\0\2" + b"c" * 16
MOUNTED_OVER = (b"etc/hosts", b"etc/hostname", b"etc/resolv.conf")
inodes = count()


@dataclass(frozen=True)
class File:
    type: bytes
    mode: int = 0o755
    uid: int = 0
    mtime: int = 0
    content: bytes = b""
    link: bytes = b""
    capability: bytes = b""
    inode: int = 0


Tree = dict[bytes, File]


def is_directory(tree: Tree, path: bytes) -> bool:
    return not path or (path in tree and tree[path].type == b"5")


def parent(path: bytes) -> bytes:
    return path.rpartition(b"/")[0]


def below(tree: Tree, path: bytes) -> list[bytes]:
    return [other for other in tree if other.startswith(path + b"/")]


def remove(tree: Tree, path: bytes) -> None:
    for other in [*below(tree, path), path]:
        tree.pop(other, None)


def new_file(rng: random.Random) -> File:
    kind = rng.choice([b"0", b"0", b"0", b"5", b"5", b"2", b"6", b"3"])
    return File(
        kind,
        mode=0o777 if kind == b"2" else rng.choice([0o755, 0o644, 0o4755]),
        uid=rng.choice([0, 0, 1000, 3_000_000]),
        mtime=rng.choice(TIMES),
        content=rng.choice(CONTENTS) if kind == b"0" else b"",
        link=rng.choice([b"t", b"../u", b"v" * 120]) if kind == b"2" else b"",
        capability=rng.choice([b"", b"", b"", CAPABILITY]) if kind == b"0" else b"",
        inode=next(inodes),
    )


def some_path(rng: random.Random, tree: Tree) -> bytes:
    directories = [b"", *(path for path in tree if is_directory(tree, path))]
    above = rng.choice(directories)
    return above + b"/" * bool(above) + rng.choice(NAMES)


def put(tree: Tree, path: bytes, file: File) -> None:
    if not (file.type == b"5" and is_directory(tree, path)):
        remove(tree, path)
    tree[path] = file


def link(rng: random.Random, tree: Tree) -> None:
    """Link a new name to a file, which is copied up and so loses its other names in the base."""
    files = [path for path in tree if not is_directory(tree, path) and path not in MOUNTED_OVER]
    path = some_path(rng, tree)
    if files and path not in tree:
        target = rng.choice(files)
        tree[target] = tree[path] = replace(tree[target], inode=next(inodes))


def make_base(rng: random.Random) -> Tree:
    tree: Tree = {}
    for _ in range(rng.randrange(14)):
        put(tree, some_path(rng, tree), new_file(rng))
    if rng.random() < 0.3 and is_directory(tree, b"etc"):
        tree[b"etc/hosts"] = File(b"0", content=b"base", inode=next(inodes))
    if rng.random() < 0.5:
        link(rng, tree)
    return with_mount_targets({}, tree)


def change(rng: random.Random, base: Tree) -> Tree:
    tree = dict(base)
    for _ in range(rng.randrange(7)):
        existing = [path for path in tree if path not in MOUNTED_OVER]
        path = rng.choice(existing) if existing else b"a"
        match rng.randrange(6):
            case 0:
                put(tree, some_path(rng, tree), new_file(rng))
            case 1 if b"etc/hosts" not in [path, *below(tree, path)]:
                remove(tree, path)
            case 2 if path in tree:
                tree[path] = replace(tree[path], uid=rng.choice([0, 5]), inode=next(inodes))
            case 3 if path in tree and tree[path].type == b"0":
                content = rng.choice(CONTENTS)
                tree[path] = replace(tree[path], content=content, inode=next(inodes))
            case 4:
                link(rng, tree)
            case 5 if path in tree and b"etc/hosts" not in below(tree, path):
                put(tree, path, new_file(rng))
            case _:
                pass
    return without_ambiguous_stubs(base, with_mount_targets(base, tree))


def with_mount_targets(base: Tree, tree: Tree) -> Tree:
    """No command can delete or replace what holds a mount; no base has a file there."""
    for path in (b"etc", b"run"):
        if not is_directory(tree, path):
            remove(tree, path)
        if path in base:
            tree.setdefault(path, base[path])
    if b"etc/hosts" in base:
        tree[b"etc/hosts"] = base[b"etc/hosts"]
    return tree


def without_ambiguous_stubs(base: Tree, tree: Tree) -> Tree:
    """An empty directory that engines make, too, cannot be told from theirs."""
    for path in (b"etc", b"run"):
        if path not in base and is_directory(tree, path) and not below(tree, path):
            tree.pop(path, None)
    return tree


@dataclass(frozen=True)
class Dialect:
    """An engine's way to tell the difference from ``below``, which stands on ``base``."""

    rng: random.Random
    base: Tree
    below: Tree

    def raw(self, tree: Tree) -> bytes:
        mentioned = self.changed(tree)
        markers = self.markers(tree, mentioned)
        members = [
            *self.entries(tree, self.with_groups_and_ancestors(tree, mentioned)),
            *self.stubs(tree),
            *(self.member(path, File(b"0", mode=self.rng.choice([0, 0o600]))) for path in markers),
        ]
        return tar(*self.in_order(members))

    def in_order(self, members: list[Member]) -> list[Member]:
        return self.rng.sample(members, len(members)) if self.rng.random() < 0.7 else members

    def changed(self, tree: Tree) -> set[bytes]:
        changed = {
            path
            for path, file in tree.items()
            if path not in self.below or file.inode != self.below[path].inode
        }
        copied_up_for_nothing = {path for path in tree if self.rng.random() < 0.3}
        return changed | copied_up_for_nothing

    def with_groups_and_ancestors(self, tree: Tree, mentioned: set[bytes]) -> set[bytes]:
        of_base = {file.inode for file in self.base.values()}
        new = {tree[path].inode for path in mentioned} - of_base
        whole = mentioned | {path for path in tree if tree[path].inode in new}
        for path in [*whole, *(path for path in self.below if path not in tree)]:
            above = parent(path)
            while above:
                if is_directory(tree, above):
                    whole.add(above)
                above = parent(above)
        return whole

    def markers(self, tree: Tree, mentioned: set[bytes]) -> list[bytes]:
        """Name the markers; where everything below is hidden, everything left is mentioned."""
        markers = []
        for path, before in self.below.items():
            above, _, name = path.rpartition(b"/")
            hidden = above + b"/" * bool(above) + b".wh." + name
            if path not in tree and is_directory(tree, above):
                markers.append(hidden)
            elif is_directory(tree, path) and self.rng.random() < 0.2:
                # Recreated: opaque, or deleted and made anew.
                mentioned |= {path, *below(tree, path)}
                markers.append(self.rng.choice([path + b"/.wh..wh..opq", hidden]))
            elif path in tree and tree[path].type != before.type and self.rng.random() < 0.5:
                markers.append(hidden)
        if self.rng.random() < 0.2:
            markers.append(b".wh.never-there")
        return markers

    def entries(self, tree: Tree, mentioned: set[bytes]) -> list[Member]:
        members = []
        masters: dict[int, bytes] = {}
        exempt = {path for path in MOUNTED_OVER if path in self.below}  # engines mount over them
        for path in sorted(sorted(mentioned - exempt), key=lambda _: self.rng.random()):
            file = tree[path]
            if file.inode in masters:
                members.append(self.member(path, replace(file, type=b"1"), masters[file.inode]))
            else:
                masters[file.inode] = path
                members.append(self.member(path, file, file.link))
        return members

    def stubs(self, tree: Tree) -> list[Member]:
        if self.rng.random() < 0.5:
            return []
        stubs = [(path, File(b"0")) for path in MOUNTED_OVER] if self.may_hold(tree, b"etc") else []
        stubs += [(b".dockerenv", File(b"0")), (b"proc", File(b"5")), (b"dev", File(b"5"))]
        if self.may_hold(tree, b"run"):
            stubs.append((b"run/.containerenv", File(b"0")))
            stubs += [] if b"run" in tree else [(b"run", File(b"5"))]
        if self.may_hold(tree, b"etc"):
            stubs += [] if b"etc" in tree else [(b"etc", File(b"5"))]
            if b"etc/mtab" not in tree:
                stubs.append((b"etc/mtab", File(b"2", link=b"/proc/mounts")))
        return [self.member(path, file, file.link) for path, file in stubs]

    def may_hold(self, tree: Tree, path: bytes) -> bool:
        return is_directory(tree, path) or (path not in tree and path not in self.base)

    def is_touched(self, path: bytes, file: File) -> bool:
        return file.type == b"5" and is_directory(self.base, path) and self.rng.random() < 0.2

    def member(self, path: bytes, file: File, link: bytes = b"") -> Member:
        rng = self.rng
        pax: dict[bytes, bytes] = {}
        if file.capability and file.type == b"0":
            value = file.capability
            if rng.random() < 0.5:
                value = value[:3] + b"\3" + value[4:] + b"root"
            pax[b"SCHILY.xattr.security.capability"] = value
        if rng.random() < 0.2:
            pax |= {b"atime": b"12.5", b"SCHILY.xattr.user.overlay.origin": b"\0\1"}
        uid = {} if file.uid < 8**7 else {108: b"\x80" + file.uid.to_bytes(7)}
        return Member(
            rng.choice([b"", b"./"]) + path + b"/" * (file.type == b"5"),
            b"\0" if file.type == b"0" and rng.random() < 0.1 else file.type,
            content=file.content if file.type == b"0" else b"",
            mode=file.mode | rng.choice([0, 0o100000]),
            uid=min(file.uid, 8**7 - 1),
            mtime=rng.choice(TIMES) if self.is_touched(path, file) else file.mtime,
            link=link,
            device=(1, 3) if file.type == b"3" else (0, 0),
            pax=pax,
            gnu=rng.random() < 0.3 and not pax,
            uname=rng.choice([b"", b"someone"]),
            fields=uid,
        )


class Quiet(Dialect):
    """The dialect of base layers: without noise, which would become part of the base.

    A hardlink follows its target, without which no engine would take the layer.
    """

    def in_order(self, members: list[Member]) -> list[Member]:
        return members

    def stubs(self, _tree: Tree) -> list[Member]:
        return []

    def is_touched(self, _path: bytes, _file: File) -> bool:
        return False


def applied(base: Tree, layer: bytes) -> Tree:
    """Apply a canonical layer by the OCI rules, with the standard library's reader."""
    tree = dict(base)
    found: Tree = {}
    if not layer:
        return tree
    with tarfile.open(fileobj=io.BytesIO(layer), errors="surrogateescape") as archive:
        for info in archive:
            path = info.name.encode("utf-8", "surrogateescape")
            above, slash, name = path.rpartition(b"/")
            if name.startswith(b".wh."):
                remove(tree, above + slash + name[4:])
                continue
            content = archive.extractfile(info) if info.isreg() else None
            file = File(
                info.type,
                info.mode,
                info.uid,
                int(info.mtime),
                content.read() if content else b"",
                info.linkname.encode("utf-8", "surrogateescape") if info.issym() else b"",
                info.pax_headers.get("SCHILY.xattr.security.capability", "").encode(),
                inode=next(inodes),
            )
            if info.islnk():
                file = found[info.linkname.encode("utf-8", "surrogateescape")]
            found[path] = file
            put(tree, path, file)
    return tree


def expected(base: Tree, tree: Tree) -> Tree:
    """Clamp the times of what is not the base's."""
    clamped = {}
    for path, file in tree.items():
        before = base.get(path)
        if before and before.type == file.type == b"5":
            mtime = before.mtime
        elif before and (before.mtime == file.mtime or before.mtime < 0 == file.mtime):
            mtime = before.mtime  # engines unpack times before 1970 as 0
        else:
            mtime = min(file.mtime, EPOCH)
        clamped[path] = replace(file, mtime=mtime)
    return clamped


def groups(tree: Tree) -> set[frozenset[bytes]]:
    names: dict[int, set[bytes]] = {}
    for path, file in tree.items():
        names.setdefault(file.inode, set()).add(path)
    return {frozenset(group) for group in names.values() if len(group) > 1}


def comparable(tree: Tree, linked: set[bytes]) -> Tree:
    return {
        path: replace(file, inode=0, mtime=0 if path in linked else file.mtime)
        for path, file in tree.items()
    }


def base_tar(base: Tree) -> bytes:
    plain = Dialect(random.Random(0), {}, {})
    return tar(*plain.entries(base, set(base)))


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.randoms(use_true_random=False))
def test_one_change_is_one_layer(rng):
    base = make_base(rng)
    between = change(rng, base)
    tree = without_ambiguous_stubs(base, change(rng, between))
    raws = [[Dialect(rng, base, base).raw(tree)] for _ in range(3)]
    raws.append([Dialect(rng, base, base).raw(between), Dialect(rng, base, between).raw(tree)])
    with tempfile.TemporaryDirectory() as cache:

        def canonical(raw: list[bytes]) -> bytes:
            return layers.canonical(Path(cache), [base_tar(base)], raw, Policy(EPOCH))[0]

        (layer,) = {canonical(raw) for raw in raws}
        if layer:
            assert canonical([layer]) == layer
    check(applied(base, layer), expected(base, tree))


def check(result: Tree, want: Tree) -> None:
    """Compare trees; in a group of hardlinks the time is that of its first name."""
    linked = set().union(*groups(want), *groups(result))
    assert comparable(result, linked) == comparable(want, linked)


@settings(derandomize=True, deadline=None, max_examples=80)
@given(st.randoms(use_true_random=False))
def test_several_base_layers_are_as_good_as_one(rng):
    first = make_base(rng)
    second = change(rng, first)
    base = change(rng, second)
    tree = change(rng, base)
    stacked = [base_tar(first)]
    stacked += [Quiet(rng, first, first).raw(second), Quiet(rng, first, second).raw(base)]
    raw = [Dialect(rng, base, base).raw(tree)]
    with tempfile.TemporaryDirectory() as cache:
        flat = layers.canonical(Path(cache), [base_tar(base)], raw, Policy(EPOCH))[0]
        assert layers.canonical(Path(cache), stacked, raw, Policy(EPOCH))[0] == flat
