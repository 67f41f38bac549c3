"""What engines call their copies of bases: a job that knows need not ask first.

An engine's id of an image is a digest of what the image is.  A container that was made by it stands
on the very layers that some job has compared; or on none, where the engine has the image no more.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine import process
from runcommit_core.engine.choosing import selecting
from runcommit_core.errors import ArchiveError
from runcommit_core.oci.jsondoc import parse_record, text_at
from runcommit_core.staging import replacing

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runcommit_core.interface.job import Job

log = logging.getLogger("runcommit")


def recalled_copy(job: Job) -> str:
    """The engine's id of its copy of the job's base, as an earlier job of this user found it.

    Empty where none did, and in a rehearsal.  Who uses it must be ready for an engine that has no
    such image any more: ``forget_copy``, and look.
    """
    return "" if process.is_rehearsed() else _read(job).get(_engine(job), "")


def found_copy(job: Job, image_id: str, diff_ids: Iterable[str]) -> bool:
    """Whether an image that the engine has is the job's base; notes its id if so.

    ``image_id`` is empty where the engine has none.
    """
    if not image_id or tuple(diff_ids) != job.transport.diff_ids:
        return False
    if not process.is_rehearsed():
        _write(job, {**_read(job), _engine(job): image_id})
    return True


def forget_copy(job: Job) -> None:
    """Note that the engine has lost its copy."""
    log.info("the base's copy is no longer in the engine: bringing it there again")
    _write(job, {key: value for key, value in _read(job).items() if key != _engine(job)})


def used_marker(base: str) -> Path:
    """The file whose time says when a job used this private copy last."""
    return cache_dir() / "bases" / base.rpartition(":")[2]


def _engine(job: Job) -> str:
    address = job.place.address if job.place else ""
    facts = (job.backend, job.engine.path, job.engine.flags, address, selecting(job.backend))
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read(job: Job) -> dict[str, str]:
    # whatever cannot be read is as good as unknown
    place = used_marker(job.transport.name)
    with contextlib.suppress(OSError, ArchiveError):
        ids = parse_record(place.read_bytes(), str(place))
        return {engine: text_at(ids, engine, str(place)) for engine in ids}
    return {}


def _write(job: Job, ids: dict[str, str]) -> None:
    place = used_marker(job.transport.name)
    with contextlib.suppress(OSError), replacing(place) as beside:
        beside.write_text(json.dumps(ids))
