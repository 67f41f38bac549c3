"""What a job does that no engine command shows: where things go, and what holds for the run."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

from runcommit_core.cache.key import why_not_hermetic
from runcommit_core.cache.shared import STORE_VARIABLE
from runcommit_core.cachedir import cache_dir
from runcommit_core.explanation.unknown import UNKNOWN_LAYER
from runcommit_core.interface.values import EPOCH_VARIABLE
from runcommit_core.oci.config import base_created

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.request.request import Outputs, Request

_TRANSPORTS = {
    "upper": "upper: the changes are read from the container's overlay, nothing is committed",
    "registry": "registry: the engine pulls from and pushes to a registry of the job's own",
    "archive": "archive: everything travels as archives, unpacked layers and all",
    "root": "root: the container's whole root is compared with the base",
}


def facts(job: Job, request: Request, transport: str) -> tuple[tuple[str, str], ...]:
    """Pairs of a word and what is to be said about it."""
    return (
        *_outputs(request.outputs),
        ("transport", _TRANSPORTS.get(transport, transport)),
        ("epoch", _epoch(job, request)),
        *_run(job),
        *_layer(job),
        *_behaviour(request),
        ("index", f"what is known of the base's files is kept in {cache_dir()}"),
        ("copy", "once a job has looked at the private copy, others go by the id that it noted"),
        ("cache", _cache(job, request)),
    )


def _outputs(outputs: Outputs) -> Iterator[tuple[str, str]]:
    written: tuple[tuple[str, Sequence[str | Path | None]], ...] = (
        ("layer", [outputs.layer]),
        ("image", outputs.image_words),
        ("metadata", [outputs.metadata]),
        ("provenance", [outputs.provenance]),
    )
    for name, places in written:
        yield from ((name, f"is written to {place}") for place in places if place)
    if outputs.extraction:
        yield "files", f"taken out of the result: {', '.join(outputs.extraction.paths)}"
    if not outputs.layer:
        yield "layer", "is written to no file, its diff_id is printed"


def _epoch(job: Job, request: Request) -> str:
    if not epoch_is_known(job, request):
        return "the created of the base, which the engine is not asked for now"
    epoch = job.layer.epoch
    when = dt.datetime.fromtimestamp(epoch, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if request.layer.epoch is not None:
        why = "--source-date-epoch"
    elif os.environ.get(EPOCH_VARIABLE):
        why = f"the variable {EPOCH_VARIABLE}"
    elif base_created(job.base.config) == epoch:
        why = "the base's created"
    else:
        why = "the base says nothing"
    return f"{epoch} ({when}), from {why}"


def epoch_is_known(job: Job, request: Request) -> bool:
    """Whether it does not depend on an image that only the engine has."""
    given = request.layer.epoch is not None or bool(os.environ.get(EPOCH_VARIABLE))
    return given or job.base.diff_ids != (UNKNOWN_LAYER,)


def _run(job: Job) -> Iterator[tuple[str, str]]:
    run = job.run
    yield "network", run.network or "the engine's default"
    unknown = job.base.diff_ids == (UNKNOWN_LAYER,)
    yield "user", run.user or ("the base's" if unknown else "root")
    for mount in run.mounts:
        what = f"from {mount.source}" if mount.kind in {"bind", "input"} else mount.name
        yield "mount", f"{mount.kind} {what} on {mount.target}".replace("  ", " ")
    if run.timeout:
        yield "timeout", f"{run.timeout:g} s"


def _layer(job: Job) -> Iterator[tuple[str, str]]:
    if job.layer.mtime == "set":
        yield "mtime", "every time that differs from the base's is the epoch"


def _behaviour(request: Request) -> Iterator[tuple[str, str]]:
    layer, asked = request.layer, request.behaviour
    if layer.exclude:
        yield "exclude", f"left out of the layer: {', '.join(layer.exclude)}"
    if layer.clean:
        yield "clean", f"left out of the layer: what {', '.join(layer.clean)} leaves behind"
    if layer.split:
        yield "split", "these steps run once for each command, each on the layers before it"
    if asked.check_reproducible:
        yield "twice", "run, commit and save happen twice, and the layers are compared"
    if asked.verify:
        yield "verify", "base and layer are compared with the container's root"
    for plugin in asked.plugins:
        hooks = ", ".join(sorted(plugin.hooks))
        yield "plugin", f"{plugin} takes part in {hooks}, which is not in the commands above"


def _cache(job: Job, request: Request) -> str:
    caching = request.behaviour.caching
    if caching.takes and (caching.mode == "always" or not why_not_hermetic(job)):
        shared = caching.shared or os.environ.get(STORE_VARIABLE)
        places = f"{cache_dir()}/results" + (f" and {os.fspath(shared)}" if shared else "")
        return f"{caching.mode}: a result of this very job is taken from {places}, without a run"
    if caching.takes or caching.mode == "hermetic":
        return f"not used for this job: {why_not_hermetic(job) or 'it runs twice or with plugins'}"
    return f"{caching.mode}: no result is taken from it"
