"""Paths in an image's tree: where they lead once the image's own symlinks are followed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from runcommit_core.index.node import Node

MOST_LINKS = 40
"""As many as Linux follows in one path (MAXSYMLINKS)."""

Obstacle = Literal["", "missing", "no directory", "loop"]


class Tree(Protocol):
    """What has a node at a normalised path, or None; the root is ``b""``."""

    def get(self, path: bytes) -> Node | None: ...


class Resolved(NamedTuple):
    """Where a path leads: ``path`` is normalised, without a slash at either end.

    ``obstacle`` is what is first in the way of it, found at ``at``: nothing is there, something
    that is no directory has something below it, or the links lead in a loop.  From there on the
    path goes on by its words alone.
    """

    path: bytes
    obstacle: Obstacle = ""
    at: bytes = b""


def resolve(tree: Tree, asked: bytes) -> Resolved:
    """Follow all symlinks on the way of a path, the last component's included.

    ``/`` and ``..`` never lead out of the image's root, as in a container; nothing but the tree is
    asked.
    """
    pending = _components(asked)
    resolved: list[bytes] = []
    links = 0
    first: tuple[Obstacle, bytes] | None = None
    while pending:
        name = pending.pop()
        if name == b"..":
            del resolved[-1:]
            continue
        resolved.append(name)
        path = b"/".join(resolved)
        node = tree.get(path)
        if node and node.kind is Kind.SYMLINK and links < MOST_LINKS:
            links += 1
            del resolved[0 if node.link.startswith(b"/") else -1 :]
            pending += _components(node.link)
        elif (obstacle := _obstacle(node, last=not pending)) and not first:
            first = obstacle, path
    return Resolved(b"/".join(resolved), *(first or ()))


def _obstacle(node: Node | None, *, last: bool) -> Obstacle:
    if node is None:
        return "missing"
    if node.kind is Kind.SYMLINK:
        return "loop"
    return "" if last or node.kind is Kind.DIRECTORY else "no directory"


def _components(path: bytes) -> list[bytes]:
    """The components of a path, the last one first."""
    return [part for part in reversed(path.split(b"/")) if part not in (b"", b".")]
