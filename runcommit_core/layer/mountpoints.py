"""Where in the image a path of the container lies: engines follow the base's links to it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from runcommit_core.index.basetree import BaseTree

_MOST_LINKS = 40
"""As many as the kernel follows (MAXSYMLINKS)."""


def mount_points(tree: BaseTree, targets: Iterable[str]) -> tuple[bytes, ...]:
    """The normalised paths, in the base or yet to be made, that absolute ``targets`` lead to."""
    return tuple(_resolved(tree, os.fsencode(target)) for target in targets)


def _resolved(tree: BaseTree, target: bytes) -> bytes:
    pending = target.split(b"/")[::-1]
    path = b""
    followed = 0
    while pending:
        name = pending.pop()
        if name in (b"", b"."):
            continue
        if name == b"..":
            path = path.rpartition(b"/")[0]
            continue
        below = path + b"/" + name if path else name
        node = tree.get(below)
        if node is None or node.kind is not Kind.SYMLINK or followed == _MOST_LINKS:
            path = below
            continue
        followed += 1
        pending += node.link.split(b"/")[::-1]
        if node.link.startswith(b"/"):
            path = b""
    return path
