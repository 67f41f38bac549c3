"""What single files of a job's base or result hold, for plugins that look at them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.files.contents import collect
from runcommit_core.files.output import result_image, with_result_tree
from runcommit_core.files.selection import resolve, select, walk
from runcommit_core.interface.values import Layers
from runcommit_core.tar.reader import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runcommit_core.files.selection import Selected
    from runcommit_core.index.basetree import BaseTree
    from runcommit_core.interface.job import Job


def read_files(job: Job, paths: Iterable[str], layers: Layers | None = None) -> dict[str, bytes]:
    """What the files at absolute ``paths`` hold in the job's base, or with ``layers`` above it.

    Symlinks are followed inside the image.  Paths at which there is no regular file are left out.
    Each layer that has one of the files is read once, so ask for many at a time.

    Raises ArchiveError: a layer is not what its index says
    """
    image = result_image(job, layers or Layers())
    texts = with_result_tree(image, job, lambda tree: _regular(tree, tuple(paths)))
    with tempfile.TemporaryDirectory(dir=job.folder) as folder:
        contents = collect(texts.values(), image.layers, job.locate, Path(folder))
        return {
            path: b"".join(contents.chunks(each.origin.sha256)) if each.node.size else b""
            for path, each in texts.items()
        }


def list_files(job: Job, folders: Iterable[str], layers: Layers | None = None) -> list[str]:
    """The paths of all that lies below absolute ``folders`` of the base, or with ``layers`` above.

    Folders themselves are left out; symlinks are listed and never followed.  A path at which there
    is no folder has nothing below it.  The cost is that of what is listed.
    """
    image = result_image(job, layers or Layers())
    return with_result_tree(image, job, lambda tree: list(_below(tree, tuple(folders))))


def _regular(tree: BaseTree, paths: tuple[str, ...]) -> dict[str, Selected]:
    regular = {}
    for path in paths:
        try:
            place = tree.get(resolve(tree, path))
        except UsageError:
            continue
        if place and place.kind is Kind.REGULAR:
            regular[path] = select(tree, [path])[0]
    return regular


def _below(tree: BaseTree, folders: tuple[str, ...]) -> Iterator[str]:
    for folder in folders:
        for path, below, node in walk(tree, os.fsencode(folder.strip("/")), b""):
            if below and node.kind is not Kind.DIRECTORY:
                yield f"/{os.fsdecode(path)}"
