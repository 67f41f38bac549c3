"""``run_commit``: one job from a base image to its outputs."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runcommit_core.background import Background
from runcommit_core.commands import DEFAULT_SHELL, Commands, resolve_commands, which_failed
from runcommit_core.engine_base import open_engine_base
from runcommit_core.errors import CommandError
from runcommit_core.job import located, new_job, private_folder, rebase, to_stderr
from runcommit_core.layer.options import layer_options
from runcommit_core.model import (
    Container,
    EngineOptions,
    Image,
    Job,
    Layers,
    Result,
    RunOptions,
    SavedImage,
)
from runcommit_core.oci.base import is_engine_reference, open_base
from runcommit_core.outputs import Targets, extended_config, write_image
from runcommit_core.plugins import choose_backend, described, pipeline
from runcommit_core.staging import staging
from runcommit_core.steps import Stopwatch
from runcommit_core.transport import transport_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from runcommit_core.hookspecs import Pipeline


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
    user: str | None = None,
    workdir: str | None = None,
    network: str | None = None,
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
    layer: str | os.PathLike[str] | None = None,
    image: str | os.PathLike[str] | None = None,
    metadata: str | os.PathLike[str] | None = None,
    plugins: Iterable[object] = (),
    console: Callable[[bytes], None] = to_stderr,
) -> Result:
    """Run commands on ``base`` and get exactly the new layer.

    ``base`` is ``oci:PATH[:NAME]``, ``oci-archive:PATH``, ``docker-archive:PATH``, a path whose
    kind is detected, or ``engine:REF``.  One of ``commands`` (each through ``shell``), ``script``
    and ``argv`` says what runs; its output goes to ``console``.  ``layer``, ``image`` and
    ``metadata`` are paths to write: the layer's tar, the complete image as an OCI layout, a JSON
    report.  ``source_date_epoch`` is in seconds; ``mtime`` is ``clamp`` (no time later than it) or
    ``set`` (all times that differ from the base's are it).  ``exclude`` takes patterns of paths
    (``runcommit_core.layer.globs``) and ``clean`` names of profiles that the layer does without.
    ``split`` makes a layer for each command, and ``layer`` then stands for ``NAME.1.SUFFIX`` and so
    on.  ``verify`` compares base and layer with the container's root, file by file.
    ``check_reproducible`` runs the job twice.  Without ``layer`` the result's layer has no
    file any more, only its facts.

    Raises the leaves of RuncommitError (see ``runcommit_core.errors``).
    """
    todo = resolve_commands(
        [commands] if isinstance(commands, str) else commands,
        script=Path(script) if script is not None else None,
        argv=argv,
        shell=shell,
    )
    engine = EngineOptions(path=engine_path, flags=tuple(engine_flags))
    mode = transport_mode(transport)
    name, chosen = choose_backend(backend, engine)
    steps = pipeline(chosen, name, plugins)
    watch = Stopwatch(name)
    run_steps = functools.partial(_run_steps, steps, watch, verified=verify)
    with contextlib.ExitStack() as cleanup:
        targets = Targets(cleanup.enter_context(staging()), layer, image, metadata)
        folder = private_folder(cleanup)
        describe = functools.partial(described, steps, name, engine)
        info = Background(describe).result if metadata else describe
        job = new_job(
            argv=todo.argv,
            run=RunOptions(
                env=env or {},
                user=user or "",
                workdir=workdir or "",
                network=network,
                flags=tuple(run_flags),
            ),
            layer=layer_options(
                always=always_layer, mtime=mtime, xattrs=xattrs, exclude=exclude, clean=clean
            ),
            engine=engine,
            mode=mode,
            folder=folder,
            output=folder / "layer.tar" if split else targets.layer_file or folder / "layer.tar",
            console=console,
            cleanup=cleanup,
        )
        reference = os.fspath(base)
        if is_engine_reference(reference):
            original, locate = open_engine_base(steps, job, reference, watch)
        else:
            original, locate = open_base(reference, platform=platform), located
        job = rebase(job, original, locate=locate, epoch=source_date_epoch)
        layers, config = _layers(job, todo, run_steps, split=split)
        if check_reproducible:
            from runcommit_core.reproducible import check

            check(job, layers, lambda again: _layers(again, todo, run_steps, split=split)[0])
        result = Result(
            backend=name,
            describe=info,
            base=original,
            layers=targets.place(layers),
            image=write_image(targets.image, job, layers, config) if targets.image else None,
            transport=job.transport.used,
            epoch=job.layer.epoch,
            seconds=watch.seconds,
            warnings=layers.warnings,
        )
        targets.publish(result)
    return result


def _layers(
    job: Job, todo: Commands, run_steps: Callable[[Job, Commands], Layers], *, split: bool
) -> tuple[Layers, bytes]:
    """The new layers and the config of base and layers."""
    if split:
        from runcommit_core.split import run_split

        return run_split(job, todo, run_steps)
    layers = run_steps(job, todo)
    return layers, extended_config(job.base.config, layers, job.layer.epoch, todo.history)


def _import_ahead() -> None:
    """Import what the last step needs while the engine runs the command."""
    importlib.import_module("runcommit_core.layer.extract")


def _run_steps(
    steps: Pipeline, watch: Stopwatch, job: Job, todo: Commands, *, verified: bool
) -> Layers:
    base = watch.step("load", Image, steps.load, job=job)
    Background(_import_ahead)
    try:
        container = watch.step("run", Container, steps.run, job=job, image=base)
    except CommandError as error:
        raise which_failed(error, todo) from None
    committed = watch.step("commit", Image, steps.commit, job=job, container=container)
    saved = watch.step("save", SavedImage, steps.save, job=job, image=committed)
    layers = watch.step("extract", Layers, steps.extract, job=job, saved=saved)
    if verified:
        from runcommit_core.verify import verify

        verify(steps, watch, job, container, layers)
    return layers
