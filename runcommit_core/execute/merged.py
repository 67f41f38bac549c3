"""A base that an engine would not take, or not give back: the lowest of its layers as one.

Docker refuses 127 layers, podman and buildah 131; no engine gives back, in an archive, a sparse
file that it took.  The private copy need not have the layers of the base: the result is made of the
base's own, whatever the engine was given.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import logging
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.errors import ArchiveError
from runcommit_core.interface.mode import Mode
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.oci.model import BaseLayer

log = logging.getLogger("runcommit")

MOST_LAYERS = 120
"""How many layers a private copy has at most; each job adds one or two."""

LEFT = 40
"""How many it has where some must be merged: engines bring and mount few layers faster."""


@record
class _Merged:
    """How many of the lowest layers are one, and what that one is; none where ``count`` is 0."""

    count: int
    diff_id: DiffId
    size: int


def with_fewer_layers(job: Job) -> Job:
    """The job on a private copy that its engine takes; mostly the same job.

    Raises ArchiveError: what is wrong with the base, which must be read for it.
    """
    archive = job.transport.mode is Mode.ARCHIVE
    if len(job.base.layers) <= MOST_LAYERS and not archive:
        return job
    note = _note(job, archive=archive)
    merged = _noted(note) or _made(job, note, archive=archive)
    if not merged.count:
        return job
    from runcommit_core.steps.stacking import on_other_layers, plain_layer

    one = dataclasses.replace(plain_layer(merged.diff_id, None), size=merged.size)
    image = on_other_layers(job.base, [one, *job.base.layers[merged.count :]])
    locate = functools.partial(_located, job, merged)
    transport = job.transport.for_base(image, feeder=lambda _: None, locate=locate)
    return dataclasses.replace(job, transport=transport)


def _note(job: Job, *, archive: bool) -> Path:
    facts = " ".join((*job.base.diff_ids, str(LEFT), str(archive)))
    return cache_dir() / "bases" / f"merged-{hashlib.sha256(facts.encode()).hexdigest()[:24]}"


def _noted(note: Path) -> _Merged | None:
    # whatever cannot be read is as good as unknown
    with contextlib.suppress(OSError, ValueError, TypeError):
        count, diff_id, size = json.loads(note.read_bytes())
        return _Merged(int(count), DiffId(str(diff_id)), int(size))
    return None


def _made(job: Job, note: Path, *, archive: bool) -> _Merged:
    """Find out, and note it; the layer stays in the job's folder, for it is about to travel."""
    from runcommit_core.staging import replacing

    job.check_base()
    depth = len(job.base.layers)
    count = depth - LEFT + 1 if depth > MOST_LAYERS else 0
    count = max(count, _sparse_layers(job)) if archive else count
    merged = _write(job, count) if count else _Merged(0, DiffId(""), 0)
    with contextlib.suppress(OSError):
        note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(note) as beside:
            beside.write_text(json.dumps([merged.count, merged.diff_id, merged.size]))
    return merged


def _sparse_layers(job: Job) -> int:
    """How many of the lowest layers reach up to the last one with a sparse file."""
    from runcommit_core.oci.regions import open_layer
    from runcommit_core.tar.reader import TarReader

    last_sparse = 0
    for place, layer in enumerate(job.base.layers, 1):
        with open_layer(job.locate(layer)) as stream:
            reader = TarReader(stream, name=f"layer {layer.diff_id}")
            if any(entry.segments is not None for entry in reader):
                last_sparse = place
    return last_sparse


def _write(job: Job, count: int) -> _Merged:
    from runcommit_core.index.index import BaseIndex
    from runcommit_core.index.merging import write_merged
    from runcommit_core.oci.regions import open_layer

    log.info("making one layer of the lowest %d, for the engine", count)
    layers = job.base.layers[:count]
    opened = [functools.partial(open_layer, job.locate(layer)) for layer in layers]
    tree = BaseIndex(cache_dir()).tree([layer.diff_id for layer in layers])
    with tree, _place(job).open("wb") as file:
        return _Merged(count, *write_merged(tree, opened, file))


def _place(job: Job) -> Path:
    return job.folder / f"merged-{job.id}.tar"


def _located(job: Job, merged: _Merged, layer: BaseLayer) -> BaseLayer:
    """A layer with its bytes in reach; the merged one is made anew where a note was all we had."""
    if layer.diff_id != merged.diff_id:
        return job.locate(layer)
    from runcommit_core.oci.model import FileRegion

    if not _place(job).exists() and _write(job, merged.count) != merged:
        raise ArchiveError(
            f"the layers of {job.base.name} are not what they were",
            tip="remove what is noted of it: runcommit cache prune",
        )
    return dataclasses.replace(layer, region=FileRegion(_place(job), 0, merged.size))
