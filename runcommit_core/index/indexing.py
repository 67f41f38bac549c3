"""The base index of one job: filled while layers travel, read where they do not."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from runcommit_core.index.place import index_folder, layer_path, seal_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.index.feeder import Feeder
    from runcommit_core.index.index import BaseIndex
    from runcommit_core.oci.model import BaseImage, BaseLayer

log = logging.getLogger("runcommit")


class Indexing:
    """Sees to it that every layer of the base is indexed when the tree is asked for."""

    def __init__(
        self, cache: Path, base: BaseImage, locate: Callable[[BaseLayer], BaseLayer]
    ) -> None:
        self._cache = cache
        self._base = base
        self._locate = locate
        self._opened: BaseIndex | None = None

    def feeder(self, layer: BaseLayer) -> Feeder | None:
        """Takes the layer's bytes as they travel; None where they are indexed already."""
        index = self._index()
        if index.has(layer.diff_id):
            return None
        return index.feeder(layer.diff_id, layer.compression)

    def check(self) -> None:
        """See that the base is right in all that a job will ask of it, before anything runs.

        What was found right once is not read again, only looked for.

        Raises ArchiveError: a layer is malformed, or does not fit on those below it
        """
        folder, diff_ids = index_folder(self._cache), self._base.diff_ids
        seal = seal_path(folder, diff_ids)
        if seal.exists() and all(layer_path(folder, diff_id).exists() for diff_id in diff_ids):
            return
        from runcommit_core.index.basetree import BaseTree, with_tree

        with_tree(self.tree, BaseTree.check_links)
        with contextlib.suppress(OSError):  # a cache that cannot be written to is told of elsewhere
            seal.touch()

    def tree(self) -> BaseTree:
        """The merged tree of the base; reads those layers that never travelled."""
        from runcommit_core.oci.regions import open_layer

        index = self._index()
        for layer in self._base.layers:
            if not index.has(layer.diff_id):
                log.info("indexing the base's layer %s", layer.diff_id[:19])
                with open_layer(self._locate(layer)) as stream:
                    index.add(layer.diff_id, stream)
        return index.tree(self._base.diff_ids)

    def _index(self) -> BaseIndex:
        from runcommit_core.index.index import BaseIndex

        if self._opened is None:
            self._opened = BaseIndex(self._cache)
        return self._opened
