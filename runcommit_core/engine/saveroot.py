"""Saving a finished container by its root instead of a commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.engine.answer import answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.tar.digests import DiffId


def save_root(job: Job, mount: Sequence[str], *, enter: Sequence[str] = ()) -> SavedImage:
    """What ``save`` returns for a container whose root was compared with the base.

    ``mount`` is a command that prints the path of the root, ``enter`` are the words before a
    command that bring it where root and ids are the container's own.

    Raises ArchiveError for a root that no layer can hold, EngineError when the engine fails.
    """
    from runcommit_core.engine.apart import saved_apart

    job.tree().close()  # so that every layer is indexed
    below = job.base.diff_ids
    words = (json.dumps(below), *mount)
    return saved_apart(job, __name__, *words, used="root", below=below, enter=enter)


def main(output: str, diff_ids: str, *mount: str) -> int:
    """Write the raw layer to the path ``output``."""
    return answer(output, lambda file: _write(file, json.loads(diff_ids), mount))


def _write(
    file: BinaryIO, diff_ids: Sequence[DiffId], mount: Sequence[str]
) -> tuple[DiffId, Sequence[str]]:
    from runcommit_core.cachedir import cache_dir
    from runcommit_core.engine import process
    from runcommit_core.index.index import BaseIndex
    from runcommit_core.layer.raw import write_changes
    from runcommit_core.layer.rootfs import RootChanges

    root = Path(process.output(*mount))
    with BaseIndex(cache_dir()).tree(diff_ids) as tree:
        changes = RootChanges(root, tree)
        return write_changes(changes, file), changes.warnings
