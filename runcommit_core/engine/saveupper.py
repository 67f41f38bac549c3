"""Saving a finished container by its upper directory instead of a commit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.engine.answer import answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import SavedImage
    from runcommit_core.tar.digests import DiffId


def save_upper(job: Job, upper: Path, *, enter: Sequence[str] = ()) -> SavedImage:
    """What ``save`` returns for an image that is an upper directory, see ``transport.upper``.

    ``enter`` are the words before a command that bring it where root and ids are the container's
    own; without any the directory is read where we are.

    Raises ArchiveError for files that no layer can hold, EngineError when the engine fails.
    """
    from runcommit_core.engine.apart import saved_apart

    if not enter:
        return job.transport.collect_upper(upper)
    below = job.transport.diff_ids
    return saved_apart(job, __name__, str(upper), used="upper", below=below, enter=enter)


def main(output: str, upper: str) -> int:
    """Write the raw layer to the path ``output``."""
    return answer(output, lambda file: _write(file, Path(upper)))


def _write(file: BinaryIO, upper: Path) -> tuple[DiffId, Sequence[str]]:
    from runcommit_core.layer.raw import write_changes
    from runcommit_core.layer.upper import UpperChanges, own_prefix

    changes = UpperChanges(upper, own_prefix())
    return write_changes(changes, file), changes.warnings
