"""Making a Job: all that was asked for, on its base, at its engine's place."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine.cleanup import CleanUp
from runcommit_core.engine.transport import Route, Transport
from runcommit_core.errors import UsageError
from runcommit_core.index.indexing import Indexing
from runcommit_core.interface.job import Job
from runcommit_core.interface.values import EPOCH_VARIABLE
from runcommit_core.oci.config import run_defaults
from runcommit_core.oci.model import BaseImage, BaseLayer
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.records import record
from runcommit_core.request.epoch import choose_epoch
from runcommit_core.request.run import RunRequest
from runcommit_core.surroundings.preparing import prepared

if TYPE_CHECKING:
    import contextlib

    from runcommit_core.interface.place import Place
    from runcommit_core.request.request import Request

_ON_DISK = "/var/tmp"  # noqa: S108 - mkdtemp makes a private folder there

Locate = Callable[[BaseLayer], BaseLayer]
"""From a layer to the same layer with its bytes in reach."""


@record(kw_only=True)
class OpenBase:
    """A base and a way to the bytes of its layers."""

    image: BaseImage
    locate: Locate


@record(kw_only=True)
class Ground:
    """What a job stands on besides its base.

    ``backend`` may be ``auto`` while a result from the cache would do; then ``place`` is not known
    either.  ``folder`` is the job's own and goes with ``cleanup``, ``output`` is where its layer
    goes.
    """

    backend: str
    place: Place | None
    folder: Path
    output: Path
    cleanup: contextlib.ExitStack


def private_folder(cleanup: contextlib.ExitStack) -> Path:
    """A folder for the job alone, on disk rather than in memory unless TMPDIR says otherwise."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="runcommit-", dir=temporary_parent()))
    except OSError as error:
        raise UsageError(
            f"cannot make a temporary folder: {error}", tip="set TMPDIR to a folder on disk"
        ) from error
    cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
    return folder


def temporary_parent() -> str | None:
    """Where the folders of jobs are made; None is wherever ``tempfile`` makes them."""
    return os.environ.get("TMPDIR") or (_ON_DISK if Path(_ON_DISK).is_dir() else None)


def new_id() -> str:
    """An id for a job, random."""
    return secrets.token_hex(6)


def job_on(base: OpenBase, request: Request, ground: Ground, job_id: str) -> Job:
    """The job that was requested, on this base; its mounts are made.

    Raises UsageError for what the base's own user, platform or links rule out.
    """
    behaviour = request.behaviour
    epoch = choose_epoch(request.layer.epoch, base.image.config)
    asked = request.run.options
    options = dataclasses.replace(
        asked,
        user=asked.user or run_defaults(base.image.config).user,
        env={EPOCH_VARIABLE: str(epoch), **asked.env},
    )
    around = prepared(
        options,
        request.run.mounts,
        base.image,
        ground.folder,
        behaviour.console,
        ground.cleanup,
    )
    indexing = Indexing(cache_dir(), base.image, base.locate)
    return Job(
        id=job_id,
        base=base.image,
        argv=request.commands.argv,
        run=around.run,
        layer=dataclasses.replace(
            request.layer.options, epoch=epoch, mount_points=around.mount_points
        ),
        engine=ground.place.engine if ground.place else behaviour.engine,
        backend=ground.backend,
        transport=Transport(
            base.image,
            Route(
                job_id=job_id,
                mode=behaviour.mode,
                folder=ground.folder,
                cleanup=ground.cleanup,
                progress=behaviour.progress,
                place=ground.place,
            ),
            locate=base.locate,
            feeder=indexing.feeder,
        ),
        check_base=indexing.check,
        tree=indexing.tree,
        locate=base.locate,
        folder=ground.folder,
        output=ground.output,
        console=around.console,
        cleanup=ground.cleanup,
        containers=_containers(ground.cleanup),
        progress=behaviour.progress,
        keep_base=behaviour.keep_base,
        place=ground.place,
    )


def finding_job(request: Request, ground: Ground, job_id: str) -> Job:
    """A job on the empty base, for the steps that find a base in the engine and read it whole."""
    plain = dataclasses.replace(
        request,
        run=RunRequest(request.run.options),
        layer=dataclasses.replace(request.layer, epoch=0),
    )
    return job_on(OpenBase(image=scratch_image(), locate=located), plain, ground, job_id)


def job_beside(job: Job, base: BaseImage, **changes: Any) -> Job:
    """A job like this one on a base whose layers are where this one's are.

    ``changes`` are fields of Job: another ``id`` where both run, or else their names would meet.
    """
    indexing = Indexing(cache_dir(), base, job.locate)
    afresh: dict[str, Any] = {"made": (), **changes}
    changed = dataclasses.replace(job, base=base, **afresh)
    changed = dataclasses.replace(changed, containers=_containers(changed.cleanup))
    transport = job.transport.for_base(
        base,
        feeder=indexing.feeder,
        job_id=changed.id,
        folder=changed.folder,
        cleanup=changed.cleanup,
        place=changed.place,
    )
    return dataclasses.replace(
        changed, transport=transport, check_base=indexing.check, tree=indexing.tree
    )


def _containers(cleanup: contextlib.ExitStack) -> CleanUp:
    """A stack that is unwound before ``cleanup``, and with it at the latest."""
    containers = CleanUp()
    cleanup.callback(containers.close)
    return containers


def located(layer: BaseLayer) -> BaseLayer:
    """A layer whose bytes are in a file is where it says."""
    return layer


def scratch_image() -> BaseImage:
    """The image without layers, on which nothing is known to the engine."""
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"diff_ids":[],"type":"layers"}}'
    return BaseImage(
        name="scratch",
        config=config,
        config_digest=digest_of_bytes(config),
        layers=(),
        manifest=None,
        manifest_media_type="",
        manifest_digest=None,
    )
