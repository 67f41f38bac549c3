"""Bases as other tools write them, which docker, podman and umoci all unpack to the same files."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from tests.filecases import OLD
from tests.tars import END, Member, directory, hardlink, padded, symlink, tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SPARSE_CONTENT = bytes(1 << 20) + b"end\n"


def rewritten(layer: bytes, change: Callable[[tarfile.TarInfo], None]) -> bytes:
    """The same layer with each of its members changed."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(layer)) as source,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            content = source.extractfile(member) if member.isreg() else None
            change(member)
            target.addfile(member, content)
    return buffer.getvalue()


def rooted(layer: bytes) -> bytes:
    """The same layer with names that begin with ``/``, as nixpkgs, ko and old distroless write."""

    def root(member: tarfile.TarInfo) -> None:
        member.name = f"/{member.name}"
        if member.islnk():
            member.linkname = f"/{member.linkname}"
        headers = member.pax_headers.items()
        member.pax_headers = {key: value for key, value in headers if key != "path"}

    return rewritten(layer, root)


def moved(layer: bytes, prefix: bytes) -> bytes:
    """The same layer with ``etc`` below another directory, and a link in its place."""

    def move(member: tarfile.TarInfo) -> None:
        if member.name.partition("/")[0] == "etc":
            member.name = f"{prefix.decode()}/{member.name}"
            member.pax_headers = {}

    link = tar(directory(prefix), symlink(b"etc", prefix + b"/etc"), end=b"")
    return link + rewritten(layer, move)


def absolute(members: Iterable[Member]) -> list[Member]:
    """Members, and targets of hardlinks, under absolute names."""
    return [
        replace(
            member,
            name=b"/" + member.name,
            link=b"/" + member.link if member.type == b"1" else member.link,
        )
        for member in members
    ]


def in_two(members: Iterable[Member]) -> tuple[list[Member], list[Member]]:
    """Directories in one layer, all else in another, which only implies them."""
    listed = list(members)
    return (
        [member for member in listed if member.type == b"5"],
        [member for member in listed if member.type != b"5"],
    )


SYSTEM = (
    directory(b"dev"),
    Member(b"dev/null", b"3", mode=0o666, device=(1, 3)),
    Member(b"dev/console", b"3", mode=0o600, device=(5, 1)),
    directory(b"srv"),
    Member(b"srv/null", b"3", mode=0o666, device=(1, 3)),
    Member(b"srv/disk", b"4", mode=0o660, device=(8, 1)),
    Member(b"srv/pipe", b"6", mode=0o622),
    directory(b"run"),
    directory(b"var"),
    symlink(b"var/run", b"../run"),
    directory(b"opt", mode=0o2775, uid=1000, gid=1000),
)
"""What a debootstrapped root has; those that may not make devices leave them out."""


def sparse(name: bytes, data: bytes = b"end\n", at: int = 1 << 20) -> Member:
    """A sparse file as GNU tar's PAX format 1.0 has it."""
    pax = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": name,
        b"GNU.sparse.realsize": b"%d" % (at + len(data)),
    }
    stored = padded(b"1\n%d\n%d\n" % (at, len(data))) + data
    return Member(b"GNUSparseFile.0/x", content=stored, pax=pax, mtime=OLD)


LOW = tar(
    *absolute(
        (
            directory(b"odd", mode=0o1777),
            Member(b"odd/gone"),
            Member(b"odd/kept", content=b"kept"),
            directory(b"odd/team", mode=0o1777, uid=1000, gid=50),
            directory(b"odd/replaced"),
            Member(b"odd/replaced/a"),
            directory(b"odd/lib"),
            Member(b"odd/" + b"x" * 255),
            Member(b"odd/" + b"y" * 252),
        )
    )
)
HIGH = (
    Member(b"./odd//team/./late", content=b"late"),
    Member(b"odd/x/../up", content=b"up"),
    Member(b"odd/replaced/.wh.a", mode=0, mtime=0),
    symlink(b"odd/replaced", b"lib"),
    directory(b"odd/lib"),
    symlink(b"odd/l", b"lib"),
    Member(b"odd/l/own", content=b"own"),
    hardlink(b"odd/hard", b"/odd/l/own", mode=0o600, mtime=OLD + 1),
    Member(b"/odd/.wh.gone", mode=0, mtime=0),
)
END_AND_MORE = END + b"bytes after the end" * 100


def odd(path: Path, *, is_saveable: bool = False) -> bases.Base:
    """Everything that engines take, in one layer upon another.

    Docker, podman and buildah cannot save an image with a sparse file again; one that
    ``is_saveable`` has none.
    """
    high = HIGH if is_saveable else (sparse(b"odd/sparse"), *HIGH)
    layers = [rooted(bases.busybox_layer()), LOW, tar(*high, end=END_AND_MORE)]
    return bases.write_layout(path, layers)
