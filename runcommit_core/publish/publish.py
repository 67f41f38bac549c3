"""``publish``: from the new layers to all that was asked for of them, each at its place."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING

from runcommit_core.disk.swaps import swapping
from runcommit_core.engine.interruption import waiting
from runcommit_core.interface.values import (
    Image,
    LoadedImage,
    OutputImage,
    PushedImage,
    Result,
)
from runcommit_core.oci.output import manifest_of
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.publish.outputs import put, store, take_stale_parts, write_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.execute.execute import Made
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.plan.plan import Plan
    from runcommit_core.publish.outputs import Stored


def publish(planned: Plan, made: Made) -> Result:
    """Write everything beside its place, then let it all appear.

    Raises UsageError for what cannot be written, EngineError for an engine that takes no image.
    """
    job, outputs = planned.job, planned.request.outputs
    with waiting():
        if planned.files:
            planned.files.fill(job, made.layers)
        config = _edited(planned, made.config)
        stored, images = _write(planned, made, config)
    loaded = _load(planned, stored, config) if outputs.load else None
    if outputs.layer and planned.request.layer.split:
        take_stale_parts(len(stored), outputs.layer, planned.targets)
    pushed = _push(planned, stored, config)
    result = Result(
        id=job.id,
        started=planned.started,
        finished=int(time.time()),
        request=planned.asked,
        backend=made.backend,
        describe=made.describe,
        base=job.base,
        layers=put(stored, outputs.layer, planned.targets),
        images=images,
        loaded=loaded,
        pushed=pushed,
        transport=made.transport,
        epoch=job.layer.epoch,
        seconds={**made.seconds, **planned.watch.seconds},
        warnings=made.layers.warnings,
        cache=made.cache,
    )
    _write_reports(planned, result)
    with swapping() as swaps:
        planned.targets.staged.swap(swaps)
        if planned.files:
            planned.files.swap(swaps)
    return result


def _edited(planned: Plan, config: bytes) -> bytes:
    """The config of base and layers with the edits that were asked for."""
    edits = planned.request.edits
    if not edits.as_json():
        return config
    from runcommit_core.oci.config import config_history
    from runcommit_core.oci.edits import edited_config

    inherited = len(config_history(planned.job.base.config))
    return edited_config(config, edits, created=planned.job.layer.epoch, inherited=inherited)


def _write(
    planned: Plan, made: Made, config: bytes
) -> tuple[list[Stored], tuple[OutputImage, ...]]:
    job, targets, outputs = planned.job, planned.targets, planned.request.outputs

    def write() -> tuple[list[Stored], tuple[OutputImage, ...]]:
        stored = store(made.layers, job.folder, targets, outputs.compression)
        annotations = planned.request.edits.annotations
        return stored, write_images(job, stored, config, annotations, targets)

    takes_time = bool(outputs.compression.level or targets.images)
    return planned.watch.step("write", tuple, write) if takes_time else write()


def _whole(planned: Plan, stored: Sequence[Stored], config: bytes) -> BaseImage:
    """Base and new layers as one image, with its manifest."""
    base, annotations = planned.job.base, planned.request.edits.annotations
    manifest = manifest_of(base, [one.blob for one in stored], config, annotations)
    return dataclasses.replace(
        base,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=(*base.layers, *(one.as_base for one in stored)),
        manifest=manifest,
        manifest_digest=digest_of_bytes(manifest),
    )


def _push(planned: Plan, stored: Sequence[Stored], config: bytes) -> tuple[PushedImage, ...]:
    """Send the whole image to every registry that was asked for."""
    if not planned.request.outputs.push:
        return ()
    from runcommit_core.remote.pushing import push

    job = planned.job
    image = _whole(planned, stored, config)
    image = dataclasses.replace(image, layers=tuple(map(job.locate, image.layers)))
    for name in planned.request.outputs.push:
        planned.watch.step(
            "push",
            type(None),
            push,
            image=image,
            to=name,
            source=planned.request.base,
            progress=job.progress,
        )
    digests = {
        "manifest_digest": digest_of_bytes(image.manifest or b""),
        "config_digest": image.config_digest,
    }
    return tuple(PushedImage(name=each.text, **digests) for each in planned.request.outputs.push)


def _load(planned: Plan, stored: Sequence[Stored], config: bytes) -> LoadedImage:
    """Bring the whole image into the engine under the name that was asked for."""
    job = planned.job
    result = _whole(planned, stored, config)
    serving = job.transport.serving(result, name=f"localhost/runcommit/result:{job.id}")
    loaded = planned.watch.step(
        "deliver",
        Image,
        planned.choice.steps.deliver,
        job=dataclasses.replace(job, transport=serving),
        reference=planned.request.outputs.load,
    )
    return LoadedImage(
        name=loaded.name,
        manifest_digest=digest_of_bytes(result.manifest or b""),
        config_digest=result.config_digest,
    )


def _write_reports(planned: Plan, result: Result) -> None:
    if planned.targets.report:
        from runcommit_core.publish.report import write_metadata

        write_metadata(planned.targets.report, result)
    if planned.targets.provenance:
        from runcommit_core.publish.provenance import write_provenance

        write_provenance(planned.targets.provenance, result)
