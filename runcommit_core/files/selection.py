"""Finding what was asked for in the merged tree of base and new layers."""

from __future__ import annotations

import difflib
import os
from typing import TYPE_CHECKING, NamedTuple

from runcommit_core.errors import UsageError
from runcommit_core.index import links
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.node import Node

_SHOWN = 5


class Origin(NamedTuple):
    """Which layer (0 is the lowest) has a file, its name and its content's sha256 there."""

    layer: int
    path: bytes
    sha256: bytes


class Selected(NamedTuple):
    """Something to extract: ``below`` is its path from the asked path number ``root`` on.

    Names of one file have one ``origin``.
    """

    root: int
    below: bytes
    node: Node
    origin: Origin


def select(tree: BaseTree, paths: Sequence[str]) -> list[Selected]:
    """Everything at and below the paths, each directory before what it holds, in byte order.

    A path that leads over symlinks is followed inside the image; links below it stay links.

    Raises UsageError: there is no such path in the result
    """
    return [
        Selected(root, below, node, _origin(tree, path, node))
        for root, asked in enumerate(paths)
        for path, below, node in walk(tree, resolve(tree, asked), b"")
    ]


def resolve(tree: BaseTree, asked: str) -> bytes:
    """The path that an absolute path stands for once its symlinks are followed.

    ``/`` and ``..`` never lead out of the image's root, as in a container.

    Raises UsageError: there is nothing, a loop, or something that is no directory on the way
    """
    resolved = links.resolve(tree, os.fsencode(asked))
    if resolved.obstacle == "missing":
        raise _missing(tree, asked, resolved.at)
    if resolved.obstacle == "loop":
        raise UsageError(f"cannot extract {asked}: its symlinks lead in a loop")
    if resolved.obstacle:
        raise UsageError(f"cannot extract {asked}: {_shown(resolved.at)} is no directory")
    return resolved.path


def walk(tree: BaseTree, path: bytes, below: bytes) -> Iterator[tuple[bytes, bytes, Node]]:
    """What is at and below a path, each with its path and that path as seen from ``below``."""
    pending = [(path, below)]
    while pending:
        path, below = pending.pop()
        node = tree.get(path)
        if node is None:
            continue
        yield path, below, node
        if node.kind is Kind.DIRECTORY:
            pending += [
                (_joined(path, name), _joined(below, name))
                for name in reversed(tree.children(path))
            ]


def _joined(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory else name


def _origin(tree: BaseTree, path: bytes, node: Node) -> Origin:
    layer, name = tree.origin(path) or (0, path)
    return Origin(layer, name, node.sha256)


def _missing(tree: BaseTree, asked: str, path: bytes) -> UsageError:
    folder, _, name = path.rpartition(b"/")
    names = [os.fsdecode(each) for each in tree.children(folder)]
    near = difflib.get_close_matches(os.fsdecode(name), names, _SHOWN)
    there = near or names[:_SHOWN]
    more = ", …" if len(names) > len(there) and not near else ""
    tip = (
        f"{_shown(folder)} has {', '.join(there)}{more}" if there else f"{_shown(folder)} is empty"
    )
    return UsageError(
        f"cannot extract {asked}: the result of the run has no {_shown(path)}", tip=tip
    )


def _shown(path: bytes) -> str:
    return "/" + os.fsdecode(path)
