"""``run_extract``: files and directories out of the result of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runcommit_core.api import run_commit
from runcommit_core.files.request import extraction
from runcommit_core.records import record

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.interface.values import Result


@record
class Extracted:
    """What was written: the tar, or one place for each path; ``result`` is the run's own."""

    places: tuple[Path, ...]
    result: Result


def run_extract(
    base: str | os.PathLike[str],
    commands: str | Sequence[str] = (),
    *,
    paths: str | Sequence[str],
    tar: str | os.PathLike[str] | None = None,
    to: str | os.PathLike[str] | None = None,
    places: Sequence[str | os.PathLike[str]] = (),
    **options: Any,
) -> Extracted:
    """Run commands on ``base`` and take files and directories out of what it made.

    ``paths`` are absolute in the image; symlinks on their way, the last component included, are
    followed inside it, links below a directory stay links.  One of three says where they go:

    ``tar``
        a tar with owners, modes and extended attributes, each path under its base name
    ``to``
        a directory, made if its parent is there, that takes each path under its base name
    ``places``
        for each path, exactly where it goes

    In place, files belong to the caller, set-id bits that would lend his ids are dropped and
    devices left out; existing files are replaced and existing directories entered.  Nothing is
    written unless all was found.  ``options`` are the keywords of
    :func:`~runcommit_core.run_commit`.

    :raises UsageError: the result has no such path, or a place cannot be written
    """
    asked = extraction(paths, tar=tar, to=to, places=places)
    result = run_commit(base, commands, extraction=asked, **options)
    return Extracted(asked.written, result)
