"""``run_commit``: one job from a base image to its outputs."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runcommit_core.cache.caching import caching_of
from runcommit_core.engine.background import Background
from runcommit_core.engine.transport import transport_mode
from runcommit_core.errors import CommandError
from runcommit_core.execute.failed import help_on_failure
from runcommit_core.execute.stopwatch import Stopwatch
from runcommit_core.housekeeping.ledger import Record
from runcommit_core.interface.progress import (
    CommandsStarted,
    JobFinished,
    JobStarted,
    Progress,
    ignore,
    in_turn,
)
from runcommit_core.interface.values import (
    Container,
    EngineOptions,
    Image,
    Layers,
    Result,
    SavedImage,
)
from runcommit_core.oci.base import is_engine_reference, open_base
from runcommit_core.oci.compress import parse_compression
from runcommit_core.oci.edits import config_edits
from runcommit_core.oci.imageplace import checked_name
from runcommit_core.oci.imageplace import image_format as output_format
from runcommit_core.plan.choice import Choice
from runcommit_core.plan.engine_base import open_engine_base
from runcommit_core.plan.making import located, new_job, private_folder, rebase, to_stderr
from runcommit_core.plan.placing import placed
from runcommit_core.plugins.capabilities import refuse, refuse_run
from runcommit_core.plugins.chosen import check_result, chosen_plugins
from runcommit_core.publish.finish import Wanted, check_base, check_wanted, finish
from runcommit_core.publish.outputs import Targets, extended_config
from runcommit_core.publish.report import request_of
from runcommit_core.request.commands import DEFAULT_SHELL, Commands, resolve_commands, which_failed
from runcommit_core.request.layer_options import layer_options
from runcommit_core.staging import staging
from runcommit_core.surroundings.request import prepared, resolved, run_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runcommit_core.files.output import Opened
    from runcommit_core.files.request import Extraction
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.plan.making import Locate
    from runcommit_core.staging import Staging


def run_commit(
    base: str | os.PathLike[str],
    commands: str | Sequence[str] = (),
    *,
    script: str | os.PathLike[str] | None = None,
    argv: Sequence[str] = (),
    shell: Sequence[str] = DEFAULT_SHELL,
    backend: str | object = "auto",
    transport: str = "auto",
    engine_path: str | None = None,
    engine_flags: Sequence[str] = (),
    platform: str | None = None,
    env: Mapping[str, str] | None = None,
    env_files: Sequence[str | os.PathLike[str]] = (),
    user: str | None = None,
    workdir: str | None = None,
    network: str | None = None,
    mounts: Sequence[str] = (),
    secrets: Sequence[str] = (),
    inputs: Sequence[str] = (),
    memory: str | int | None = None,
    cpus: str | float | None = None,
    timeout: str | float | None = None,
    run_flags: Sequence[str] = (),
    source_date_epoch: int | None = None,
    always_layer: bool = False,
    mtime: Literal["clamp", "set"] = "clamp",
    xattrs: bool = False,
    exclude: str | Sequence[str] = (),
    clean: str | Sequence[str] = (),
    split: bool = False,
    verify: bool = False,
    check_reproducible: bool = False,
    keep_on_failure: bool = False,
    shell_on_failure: bool = False,
    layer: str | os.PathLike[str] | None = None,
    image: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    image_format: str = "oci",
    load: str | None = None,
    compression: str = "none",
    config_env: Mapping[str, str] | None = None,
    entrypoint: str | Sequence[str] | None = None,
    cmd: str | Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    config_user: str | None = None,
    config_workdir: str | None = None,
    expose: str | Sequence[str] = (),
    author: str | None = None,
    comment: str | None = None,
    metadata: str | os.PathLike[str] | None = None,
    provenance: str | os.PathLike[str] | None = None,
    keep_base: bool = True,
    extraction: Extraction | None = None,
    cache: str | None = None,
    cache_store: str | os.PathLike[str] | None = None,
    plugins: Iterable[str | object] = (),
    console: Callable[[bytes], None] = to_stderr,
    progress: Progress = ignore,
) -> Result:
    """Run commands on ``base`` and get exactly the new layer.

    ``base`` is ``oci:PATH[:NAME]``, ``oci-archive:PATH``, ``docker-archive:PATH``, a path whose
    kind is detected, or ``engine:REF``.  One of ``commands`` (each through ``shell``), ``script``
    and ``argv`` says what runs; its output goes to ``console``, and events of the job to
    ``progress`` (see ``runcommit_core.interface.progress``).  ``layer``, ``image`` and
    ``metadata`` are paths to write: the layer's tar, the complete image as an OCI layout, a JSON
    report.  ``env_files``, ``mounts``, ``secrets`` (docker's syntax), ``inputs`` (``SRC:DST``),
    ``memory``, ``cpus`` and ``timeout`` hold for the run alone, see docs/reference/run-options.md.
    ``source_date_epoch`` is in seconds; ``mtime`` is ``clamp`` (no time later than it) or
    ``set`` (all times that differ from the base's are it).  ``exclude`` takes patterns of paths
    (``runcommit_core.layer.globs``) and ``clean`` names of profiles that the layer does without.
    ``split`` makes a layer for each command, and ``layer`` then stands for ``NAME.1.SUFFIX`` and so
    on.  ``verify`` compares base and layer with the container's root, file by file.
    ``check_reproducible`` runs the job twice.  ``cache`` is ``always``, ``hermetic`` or ``off`` and
    ``cache_store`` a shared cache, see docs/reference/cache.md; unset, the variables
    ``RUNCOMMIT_CACHE`` and ``RUNCOMMIT_CACHE_STORE`` say it.  ``plugins`` are objects, names of
    installed plugins or ``package.module[:object]``; all installed ones take part but those of
    which ``no:NAME`` is said.  Of a job that fails,
    ``keep_on_failure`` leaves the container in the engine, and ``shell_on_failure`` opens a shell
    in it, at the terminal.  Unless ``keep_base`` the engine's private copy of the base goes with
    the job.  Without ``layer`` the result's layer has no file any more, only its facts.

    Raises the leaves of RuncommitError (see ``runcommit_core.errors``).
    """
    started = int(time.time())
    todo = resolve_commands(
        [commands] if isinstance(commands, str) else commands,
        script=Path(script) if script is not None else None,
        argv=argv,
        shell=shell,
    )
    request = run_request(
        env=env,
        env_files=env_files,
        user=user,
        workdir=workdir,
        network=network,
        flags=run_flags,
        mounts=mounts,
        secrets=secrets,
        inputs=inputs,
        memory=memory,
        cpus=cpus,
        timeout=timeout,
    )
    engine = EngineOptions(path=engine_path, flags=tuple(engine_flags))
    mode = transport_mode(transport)
    wanted = Wanted(
        config_edits(
            env=config_env,
            entrypoint=entrypoint,
            cmd=cmd,
            labels=labels,
            annotations=annotations,
            user=config_user,
            workdir=config_workdir,
            expose=expose,
            author=author,
            comment=comment,
        ),
        parse_compression(compression),
        checked_name(load) if load is not None else None,
    )
    extras = chosen_plugins(plugins)
    caching = caching_of(
        cache, cache_store, extras, request.options.network, rereads=check_reproducible
    )
    choice = Choice(backend, engine, extras, late=caching.takes and not verify)
    steps = choice.steps
    progress = in_turn(progress)
    progress(JobStarted(choice.name, os.fspath(base)))
    watch = Stopwatch(choice.name, progress)
    record = Record()
    _refuse_options(
        choice,
        engine,
        {
            "engine-base": is_engine_reference(os.fspath(base)),
            "load": load is not None,
            "verify": verify,
            "keep-on-failure": keep_on_failure or shell_on_failure,
        },
    )
    helping = help_on_failure(
        steps, record, shell, keep=keep_on_failure, open_shell=shell_on_failure
    )
    run_steps = functools.partial(_run_steps, choice, watch, record, helping, verified=verify)
    with contextlib.ExitStack() as cleanup:
        cleanup.enter_context(record)
        staged = cleanup.enter_context(staging())
        targets = Targets(
            staged,
            layer,
            image,
            default=output_format(image_format),
            metadata=metadata,
            provenance=provenance,
            compression=wanted.compression,
        )
        check_wanted(wanted, targets)
        files = _open_extraction(extraction, staged, cleanup)
        folder = private_folder(cleanup)
        job = new_job(
            argv=todo.argv,
            run=request.options,
            layer=layer_options(
                always=always_layer, mtime=mtime, xattrs=xattrs, exclude=exclude, clean=clean
            ),
            engine=engine,
            mode=mode,
            folder=folder,
            backend=choice.name,
            output=folder / "layer.tar" if split else targets.layer_file or folder / "layer.tar",
            console=console,
            cleanup=cleanup,
            progress=progress,
        )
        places = [*staged.places, *(files.places if files else ())]
        record.begin(job, choice.name, backend, places)
        job = job if choice.late else placed(steps, job, record)
        reference = os.fspath(base)
        original, locate = _open(steps, job, reference, platform, watch)
        job = rebase(job, original, locate=locate, epoch=source_date_epoch)
        job = dataclasses.replace(prepared(job, request.mounts), keep_base=keep_base)
        check_base(wanted, original)
        asked = request_of(job, todo, wanted, exclude=exclude, clean=clean, split=split)
        begin = functools.partial(_begin, choice, record, told=targets.told)
        cached = caching.around(run_steps, choice, begin, reads=not verify)
        layers, config = _layers(job, todo, cached, split=split)
        if check_reproducible:
            from runcommit_core.execute.reproducible import check

            check(job, layers, lambda again: _layers(again, todo, run_steps, split=split)[0])
        check_result(extras, watch, job, layers)
        if files:
            files.fill(job, layers)
        done = finish(wanted, targets, job, layers, config, steps, watch)
        result = Result(
            id=job.id,
            started=started,
            finished=int(time.time()),
            request=asked,
            backend=cached.backend,
            describe=cached.describe,
            base=original,
            layers=done.layers,
            images=done.images,
            loaded=done.loaded,
            transport=job.transport.used,
            epoch=job.layer.epoch,
            seconds={**cached.seconds, **watch.seconds},
            warnings=layers.warnings,
            cache=cached.outcome,
        )
        targets.publish(result)
        if files:
            files.publish()
    progress(JobFinished(result))
    return result


def _refuse_options(choice: Choice, engine: EngineOptions, needs: Mapping[str, bool]) -> None:
    """Raise UsageError for what the backend lacks; without a need the choice stays open."""
    if wanted := [name for name, given in needs.items() if given]:
        name, steps = choice.settle()
        refuse(steps, name, engine, wanted)


def _open(
    steps: Pipeline, job: Job, reference: str, platform: str | None, watch: Stopwatch
) -> tuple[BaseImage, Locate]:
    """The base, and a way to the bytes of its layers."""
    if is_engine_reference(reference):
        return open_engine_base(steps, job, reference, watch)
    return open_base(reference, platform=platform), located


def _begin(choice: Choice, record: Record, *, told: bool) -> None:
    """Settle what a result in the cache leaves open, and let the engine describe itself."""
    if choice.late:
        record.note(backend=choice.settle()[0])
    if told:
        choice.ask()


def _open_extraction(
    extraction: Extraction | None, staged: Staging, cleanup: contextlib.ExitStack
) -> Opened | None:
    if extraction is None:
        return None
    from runcommit_core.files.output import opened

    return cleanup.enter_context(opened(extraction, staged))


def _layers(
    job: Job, todo: Commands, run_steps: Callable[[Job, Commands], Layers], *, split: bool
) -> tuple[Layers, bytes]:
    """The new layers and the config of base and layers."""
    if split:
        from runcommit_core.execute.split import run_split

        return run_split(job, todo, run_steps)
    layers = run_steps(job, todo)
    return layers, extended_config(job.base.config, layers, job.layer.epoch, todo.history)


def _import_ahead() -> None:
    """Import what the last step needs while the engine runs the command."""
    importlib.import_module("runcommit_core.execute.extract")


def _run_steps(
    choice: Choice,
    watch: Stopwatch,
    record: Record,
    helping: Callable[[Job], contextlib.AbstractContextManager[Job]],
    job: Job,
    todo: Commands,
    *,
    verified: bool,
) -> Layers:
    name, steps = choice.settle()
    job = placed(steps, job, record)
    refuse_run(steps, name, job)
    record.on_base(job.transport.name)
    job = dataclasses.replace(job, backend=name)
    with helping(job) as helped:
        return _from_load_to_extract(steps, watch, helped, todo, verified=verified)


def _from_load_to_extract(
    steps: Pipeline, watch: Stopwatch, job: Job, todo: Commands, *, verified: bool
) -> Layers:
    base = watch.step("load", Image, steps.load, job=job)
    Background(_import_ahead)
    job = resolved(job)
    job.progress(CommandsStarted(todo.texts))
    try:
        container = watch.step("run", Container, steps.run, job=job, image=base)
    except CommandError as error:
        raise which_failed(error, todo) from None
    committed = watch.step("commit", Image, steps.commit, job=job, container=container)
    saved = watch.step("save", SavedImage, steps.save, job=job, image=committed)
    layers = watch.step("extract", Layers, steps.extract, job=job, saved=saved)
    if verified:
        from runcommit_core.execute.verify import verify

        verify(steps, watch, job, container, layers)
    return layers
