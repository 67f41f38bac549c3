"""The merged tree of an image that is a file, for whoever has no job."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from runcommit_core.cachedir import cache_dir
from runcommit_core.index.basetree import with_tree
from runcommit_core.index.indexing import Indexing
from runcommit_core.oci.base import open_base

if TYPE_CHECKING:
    from collections.abc import Callable

    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.oci.model import BaseImage

T = TypeVar("T")


def with_image_tree(reference: str, use: Callable[[BaseTree, BaseImage], T]) -> T:
    """Call ``use`` with the tree of an image and the image; the tree is indexed if it is not yet.

    ``use`` is called once more where the index proves damaged.

    Raises ArchiveError: there is no such image, or it is not what the specification demands
    Raises UsageError: the reference is none to a file
    """
    image = open_base(reference)
    indexing = Indexing(cache_dir(), image, lambda layer: layer)
    return with_tree(indexing.tree, lambda tree: use(tree, image))
