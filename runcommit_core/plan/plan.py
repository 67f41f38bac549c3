"""``plan``: from a request to one job that is ready to run, and everything refused that can be."""

from __future__ import annotations

import logging
import os
import shlex
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

from runcommit_core.engine.choosing import selecting
from runcommit_core.engine.interruption import waiting
from runcommit_core.errors import UsageError
from runcommit_core.housekeeping.ledger import LedgerEntry
from runcommit_core.interface.progress import JobStarted
from runcommit_core.oci.base import is_engine_reference, open_base
from runcommit_core.oci.mediatypes import DOCKER_MANIFEST
from runcommit_core.oci.model import BaseImage
from runcommit_core.oci.remotenames import is_remote
from runcommit_core.plan.asked import request_of
from runcommit_core.plan.choice import Choice
from runcommit_core.plan.engine_base import open_engine_base
from runcommit_core.plan.making import (
    Ground,
    OpenBase,
    finding_job,
    job_beside,
    job_on,
    located,
    new_id,
    private_folder,
)
from runcommit_core.plan.places import place_of
from runcommit_core.plan.targets import Targets, open_targets
from runcommit_core.plugins.capabilities import refuse
from runcommit_core.records import record
from runcommit_core.request.request import in_shell_of
from runcommit_core.request.shell import is_posix
from runcommit_core.staging import staging
from runcommit_core.steps.stopwatch import Stopwatch

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from runcommit_core.files.output import Opened
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import EngineOptions
    from runcommit_core.request.request import Behaviour, Request
    from runcommit_core.staging import Staging

    Refuse = Callable[[Pipeline, str, EngineOptions, Collection[str]], None]
    OpenEngineBase = Callable[[Pipeline, Job, str, Stopwatch], OpenBase]

log = logging.getLogger("runcommit")


@record(kw_only=True)
class Plan:
    """One job, what it was made of, and where its results go.

    ``entry`` is the job's in the ledger, ``started`` is in seconds since 1970.  Whatever the
    plan opened is closed with the stack that it was given.  ``asked`` is for the report.
    """

    request: Request
    asked: Mapping[str, Any]
    job: Job
    choice: Choice
    watch: Stopwatch
    entry: LedgerEntry
    targets: Targets
    files: Opened | None
    started: int


def plan(
    request: Request,
    cleanup: contextlib.ExitStack,
    *,
    refusing: Refuse = refuse,
    opening: OpenEngineBase = open_engine_base,
) -> Plan:
    """Open the base, settle the backend and its place, check the outputs; make the job.

    ``refusing`` raises for what a backend lacks, ``opening`` opens a base that only the engine has.
    Raises the leaves of RuncommitError but CommandError.
    """
    started = int(time.time())
    asked = request.behaviour
    choice = Choice(
        asked.backend, asked.engine, asked.plugins, late=asked.caching.takes and not asked.verify
    )
    asked.progress(JobStarted(choice.name, request.base))
    watch = Stopwatch(choice.name, asked.progress)
    _refuse_lacks(choice, request, refusing)
    _refuse_shell_without_terminal(request)
    entry = cleanup.enter_context(LedgerEntry())
    staged = cleanup.enter_context(staging())
    targets = open_targets(staged, request.outputs)
    _refuse_idle_edits(request)
    files = _open_extraction(request, staged, cleanup)
    folder = private_folder(cleanup)
    job_id = new_id()
    places = [*staged.places, *(files.places if files else ())]
    entry.begin(job_id, _recorded_name(choice, asked), asked.engine, folder, places)
    ground = Ground(
        backend=choice.name,
        place=None if choice.late else place_of(choice.steps, asked.engine, entry),
        folder=folder,
        output=_layer_file(request, targets) or folder / "layer.tar",
        cleanup=cleanup,
    )
    base = _open_base(request, ground, job_id, choice.steps, watch, opening)
    _refuse_annotations(request, base)
    request = in_shell_of(request, base.image.config)
    _tell_shells_apart(request)
    job = job_on(base, request, ground, job_id)
    return Plan(
        request=request,
        asked=request_of(job, request),
        job=job,
        choice=choice,
        watch=watch,
        entry=entry,
        targets=targets,
        files=files,
        started=started,
    )


def settled(planned: Plan, job: Job) -> Job:
    """The job with what the cache did not need: its backend, and where that engine is."""
    name, steps = planned.choice.settle()
    if job.place and name == job.backend:
        return job
    if name != job.backend:
        planned.entry.note(backend=name)
    planned.entry.note(environment=selecting(name))
    place = place_of(steps, job.engine, planned.entry)
    if place is None and name == job.backend:
        return job
    engine = place.engine if place else job.engine
    return job_beside(job, job.base, backend=name, place=place, engine=engine)


def _refuse_lacks(choice: Choice, request: Request, refusing: Refuse) -> None:
    """Raise UsageError for what the backend lacks; without a need the choice stays open."""
    asked = request.behaviour
    needs = {
        "engine-base": is_engine_reference(request.base),
        "load": request.outputs.load is not None,
        "verify": asked.verify,
        "keep-on-failure": asked.keep_on_failure or asked.shell_on_failure,
    }
    if wanted := [name for name, given in needs.items() if given]:
        name, steps = choice.settle()
        refusing(steps, name, asked.engine, wanted)


def _refuse_shell_without_terminal(request: Request) -> None:
    if request.behaviour.shell_on_failure and not (os.isatty(0) and os.isatty(2)):
        raise UsageError(
            "--shell-on-failure needs a terminal on standard input and standard error",
            tip="--keep-on-failure keeps the container, to be entered later",
        )


def _tell_shells_apart(request: Request) -> None:
    if len(request.commands.each) > 1 and not request.layer.split and not is_posix(request.shell):
        words = shlex.join(request.shell)
        log.warning("%r is no POSIX shell, so each command runs in one of its own", words)


def _refuse_idle_edits(request: Request) -> None:
    outputs = request.outputs
    if request.edits.as_json() and not (outputs.images or outputs.load or outputs.push):
        raise UsageError(
            "the config of the image is to be edited, but no image is asked for",
            tip="add --image PATH, --load NAME or --push docker://HOST/NAME",
        )


def _refuse_annotations(request: Request, base: OpenBase) -> None:
    if request.edits.annotations and base.image.manifest_media_type == DOCKER_MANIFEST:
        raise UsageError(
            f"{base.image.name} is an image of docker's schema 2, which has no annotations",
            tip="use --label, or convert the base: skopeo copy --format oci",
        )


def _recorded_name(choice: Choice, asked: Behaviour) -> str:
    """The backend for the ledger: a module's name is one to import, told by its colon."""
    return f"{choice.name}:" if isinstance(asked.backend, ModuleType) else choice.name


def _layer_file(request: Request, targets: Targets) -> Path | None:
    """Where the job may write its only layer itself."""
    packed = request.outputs.compression.level
    return None if request.layer.split or packed else targets.layer_file


def _open_extraction(
    request: Request, staged: Staging, cleanup: contextlib.ExitStack
) -> Opened | None:
    if request.outputs.extraction is None:
        return None
    from runcommit_core.files.output import opened

    return cleanup.enter_context(opened(request.outputs.extraction, staged))


def _open_base(
    request: Request,
    ground: Ground,
    job_id: str,
    steps: Pipeline,
    watch: Stopwatch,
    opening: OpenEngineBase,
) -> OpenBase:
    """Open the base; one that only the engine has is found by a job on the empty one."""
    if is_engine_reference(request.base):
        finder = finding_job(request, ground, job_id)
        return opening(steps, finder, request.base, watch)
    platform = request.behaviour.platform
    if is_remote(request.base):
        from runcommit_core.remote.pulling import open_remote

        image = watch.step(
            "pull",
            BaseImage,
            open_remote,
            reference=request.base,
            folder=ground.folder / "base",
            cleanup=ground.cleanup,
            platform=platform,
            progress=request.behaviour.progress,
        )
    else:
        with waiting():
            image = open_base(request.base, platform=platform)
    return OpenBase(image=image, locate=located)
