"""Making a Job, and putting it on a base."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.engine.transport import Transport
from runcommit_core.errors import UsageError
from runcommit_core.index.indexing import Indexing
from runcommit_core.interface.job import Job
from runcommit_core.interface.progress import Progress, ignore
from runcommit_core.oci.config import run_defaults
from runcommit_core.oci.model import BaseImage, BaseLayer
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.request.epoch import VARIABLE, choose_epoch

if TYPE_CHECKING:
    import contextlib

    from runcommit_core.interface.values import EngineOptions, LayerOptions, RunOptions
    from runcommit_core.interface.ways import Mode

_ON_DISK = "/var/tmp"  # noqa: S108 - mkdtemp makes a private folder there

Locate = Callable[[BaseLayer], BaseLayer]
"""From a layer to the same layer with its bytes in reach."""


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


def to_stderr(chunk: bytes) -> None:
    """The default console: what the command says goes to standard error, at once."""
    if sys.stderr is not None:
        sys.stderr.buffer.write(chunk)
        sys.stderr.buffer.flush()


def new_job(
    *,
    argv: tuple[str, ...],
    run: RunOptions,
    layer: LayerOptions,
    engine: EngineOptions,
    mode: Mode,
    backend: str,
    folder: Path,
    output: Path,
    console: Callable[[bytes], None],
    cleanup: contextlib.ExitStack,
    progress: Progress = ignore,
) -> Job:
    """A job on the empty base; ``rebase`` puts it on another."""
    empty = scratch_image()
    indexing = Indexing(cache_dir(), empty, located)
    job_id = secrets.token_hex(6)
    return Job(
        id=job_id,
        base=empty,
        argv=argv,
        run=run,
        layer=layer,
        engine=engine,
        backend=backend,
        transport=_transport(empty, job_id, mode, folder, cleanup, located, indexing, progress),
        tree=indexing.tree,
        locate=located,
        folder=folder,
        output=output,
        console=console,
        cleanup=cleanup,
        containers=cleanup,
        progress=progress,
    )


def rebase(job: Job, base: BaseImage, *, locate: Locate, epoch: int | None) -> Job:
    """The same job on another base, whose user holds where none was asked for."""
    indexing = Indexing(cache_dir(), base, locate)
    defaults = run_defaults(base.config)
    seconds = choose_epoch(epoch, base.config)
    transport = _transport(
        base,
        job.id,
        job.transport.mode,
        job.folder,
        job.cleanup,
        locate,
        indexing,
        job.progress,
    )
    if job.place:
        transport.lead_to(job.place)
    return dataclasses.replace(
        job,
        base=base,
        locate=locate,
        transport=transport,
        tree=indexing.tree,
        layer=dataclasses.replace(job.layer, epoch=seconds),
        run=dataclasses.replace(
            job.run,
            user=job.run.user or defaults.user,
            env={VARIABLE: str(seconds), **job.run.env},
        ),
    )


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


def _transport(
    base: BaseImage,
    job_id: str,
    mode: Mode,
    folder: Path,
    cleanup: contextlib.ExitStack,
    locate: Locate,
    indexing: Indexing,
    progress: Progress,
) -> Transport:
    return Transport(
        base,
        job_id=job_id,
        mode=mode,
        folder=folder,
        cleanup=cleanup,
        locate=locate,
        feeder=indexing.feeder,
        progress=progress,
    )
