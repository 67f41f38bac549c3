"""The merged view of the base's layers, by look-up.

A path is looked up in the layers that list its parent only, and what is known of a directory
stays known, so a look-up costs the same on a base of one file and on one of a million.

The rules are those of the OCI image-spec, layer.md: a directory on a directory replaces the
attributes and keeps the children, everything else replaces all that was there.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self, TypeVar

from runcommit_core.errors import ArchiveError
from runcommit_core.index.layerfile import (
    IMPLIED,
    OPAQUE,
    WHITEOUT,
    IndexDamagedError,
    LayerFile,
    key_of,
)
from runcommit_core.index.node import IMPLIED_DIRECTORY, Node, unpack
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from runcommit_core.tar.digests import DiffId

T = TypeVar("T")

log = logging.getLogger("runcommit")

_Layers = tuple[int, ...]
_DIRECTORY, _HARDLINK = Kind.DIRECTORY, Kind.HARDLINK


class BaseTree:
    """What a base has at a path, after all its layers; close it, or use it as a context.

    For one thread.  Any look-up raises IndexDamagedError if a layer's index proves damaged.
    """

    def __init__(self, layers: Sequence[tuple[DiffId, Path]]) -> None:
        """Open the index files of the layers, lowest first."""
        self._names = tuple(diff_id for diff_id, _ in layers)
        with ExitStack() as stack:
            self._files = tuple(
                stack.enter_context(LayerFile(path, diff_id)) for diff_id, path in layers
            )
            self._stack = stack.pop_all()
        self._views = {len(layers): _View(self._files)}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the index files."""
        self._stack.close()

    def get(self, path: bytes) -> Node | None:
        """Look a path up; the root is a directory like any other."""
        node_and_height = self._get(path, len(self._files))
        return node_and_height[0] if node_and_height else None

    def origin(self, path: bytes) -> tuple[int, bytes] | None:
        """Tell which layer (0 is the lowest) has the content at a path, and under which name.

        Names of one file have one origin.
        """
        node_and_height = self._get(path, len(self._files))
        return (node_and_height[1], node_and_height[0].group or path) if node_and_height else None

    def children(self, path: bytes) -> list[bytes]:
        """List the names in a directory, in byte order; empty for everything else.

        The cost is that of its children, in every layer that lists the directory.
        """
        view = self._views[len(self._files)]
        key = key_of(path)
        names = {
            name for layer in view.layers_of(path) for name in self._files[layer].children(key)
        }
        prefix = path + b"/" if path else b""
        return [name for name in sorted(names) if self.get(prefix + name) is not None]

    def check_links(self) -> None:
        """Look up every hardlink that leads to a lower layer.

        Raises ArchiveError: there is no such file
        """
        for layer, file in enumerate(self._files):
            for key in file.outside():
                self._get(key.replace(b"\0", b"/"), layer + 1)

    def _get(self, path: bytes, height: int) -> tuple[Node, int] | None:
        view = self._views.get(height)
        if view is None:
            view = self._views[height] = _View(self._files[:height])
        node_and_height = view.get(path)
        if node_and_height is None or node_and_height[0].kind is not _HARDLINK:
            return node_and_height
        node, layer = node_and_height
        linked = self._get(node.link, layer)
        if linked is None or linked[0].kind is _DIRECTORY:
            raise ArchiveError(
                f"layer {self._names[layer]}: {path!r} is a hardlink to {node.link!r},"
                " which is no file in this layer or below"
            )
        target, origin = linked
        return target._replace(group=target.group or node.link), origin


def with_tree(open_tree: Callable[[], BaseTree], use: Callable[[BaseTree], T]) -> T:
    """Call ``use`` with an opened tree; once more with one opened anew where an index is damaged.

    What is damaged has been removed by then, so that who opens the tree indexes it anew.  ``use``
    must be able to begin once more.
    """
    try:
        with open_tree() as tree:
            return use(tree)
    except IndexDamagedError as error:
        log.warning("%s; reading the layer anew", error)
    with open_tree() as tree:
        return use(tree)


class _View:
    """The lowest layers of a base, merged; hardlinks to lower layers are left unresolved."""

    def __init__(self, files: tuple[LayerFile, ...]) -> None:
        self._files = files
        _, layers = self._merge(b"", tuple(reversed(range(len(files)))))
        # Directories only: files are rarely looked up twice.
        self._nodes: dict[bytes, tuple[Node, int]] = {b"": (IMPLIED_DIRECTORY, 0)}
        self._layers: dict[bytes, _Layers] = {b"": layers}

    def get(self, path: bytes) -> tuple[Node, int] | None:
        """Look a path up: what is there, and the layer that says so."""
        known = self._nodes.get(path)
        if known is not None:
            return known
        layers = self.layers_of(path.rpartition(b"/")[0])
        if not layers:
            return None
        return self._look_up(path, layers)[0]

    def layers_of(self, directory: bytes) -> _Layers:
        """List the layers whose children of the directory count, topmost first."""
        layers = self._layers.get(directory)
        if layers is None:
            layers = self._layers[directory] = self._walk_to(directory)
        return layers

    def _walk_to(self, directory: bytes) -> _Layers:
        layers = self._layers[b""]
        end = 0
        while layers and end >= 0:
            end = directory.find(b"/", end + 1)
            path = directory if end < 0 else directory[:end]
            known = self._layers.get(path)
            layers = self._look_up(path, layers)[1] if known is None else known
        return layers

    def _look_up(self, path: bytes, layers: _Layers) -> tuple[tuple[Node, int] | None, _Layers]:
        node_and_layer, below = self._merge(key_of(path), layers)
        if below and node_and_layer is not None:
            self._nodes[path] = node_and_layer
            self._layers[path] = below
        return node_and_layer, below

    def _merge(self, key: bytes, layers: _Layers) -> tuple[tuple[Node, int] | None, _Layers]:
        """Merge what the layers say of one path, topmost first."""
        node: Node | None = None
        below: list[int] = []
        visible = True
        is_implied = False
        for layer in layers:
            row = self._files[layer].find(key)
            if row is None:
                continue
            if row.packed:
                lower = unpack(row.packed)
                if lower.kind is not _DIRECTORY:
                    if below:
                        break
                    return (lower, layer), ()
                node = node or lower
            if visible and (row.packed or row.flags & IMPLIED):
                is_implied = is_implied or not (below or row.packed)
                below.append(layer)
            if row.flags & WHITEOUT or (row.flags & OPAQUE and node):
                break
            # An opaque directory without an entry has its attributes from below, nothing else.
            visible = visible and not row.flags & OPAQUE
        if not below:
            return None, ()
        if node is not None and is_implied:
            node = node._replace(implied=True)
        return (node or IMPLIED_DIRECTORY, below[0]), tuple(below)
