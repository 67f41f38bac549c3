"""Saving a finished container's files by a process of its own.

A rootless engine's files belong to ids that exist in the engine's user namespace alone:
``podman unshare`` and ``buildah unshare`` lead there.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from runcommit_core.engine import process
from runcommit_core.errors import ArchiveError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.interface.values import Job, SavedImage

log = logging.getLogger("runcommit")


def saved_apart(
    job: Job, module: str, *words: str, used: str, enter: Sequence[str] = ()
) -> SavedImage:
    """What ``save`` returns for the raw layer that ``module``, run as a program, writes.

    It is given the path to write to and ``words``, and ends with
    :func:`runcommit_core.engine.answer.answer`.  ``enter`` are the words before a command that
    bring it where root and ids are the container's own; ``used`` is how the result is said to
    have travelled.

    Raises ArchiveError for files that no layer can hold, EngineError when the engine fails.
    """
    from runcommit_core.interface.values import RawLayer, SavedImage
    from runcommit_core.tar.digests import DiffId

    path = job.folder / f"apart-{job.id}.tar"
    completed = process.attempt(
        *(*enter, sys.executable, "-m", module, os.fspath(path), *words),
        env={**process.environment(), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if completed.returncode == ArchiveError.exit_code:
        said = json.loads(completed.output)
        raise ArchiveError(said["error"], tip=said["tip"])
    said = json.loads(process.checked(completed).output)
    for warning in said["warnings"]:
        log.warning("%s", warning)
    job.transport.used = used
    diff_id = DiffId(said["diff_id"])
    raw = RawLayer(diff_id, lambda: path.open("rb"))
    return SavedImage(job.transport.config, (*job.base.diff_ids, diff_id), (raw,))
