"""From the new layers to what is made of them: the image with its edited config, in every form."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import Image, Layer, LoadedImage, OutputImage
from runcommit_core.oci.mediatypes import DOCKER_MANIFEST
from runcommit_core.oci.output import manifest_of
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.execute.stopwatch import Stopwatch
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import Layers
    from runcommit_core.oci.compress import LayerCompression
    from runcommit_core.oci.edits import ConfigEdits
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.publish.outputs import Stored, Targets


@record
class Wanted:
    """What the result shall be beyond its layers; ``load`` is a name in the engine."""

    edits: ConfigEdits
    compression: LayerCompression
    load: str | None


@record
class Finished:
    """What was made, and the config of the image."""

    layers: tuple[Layer, ...]
    images: tuple[OutputImage, ...]
    loaded: LoadedImage | None
    config: bytes


def check_wanted(wanted: Wanted, targets: Targets) -> None:
    """Raise UsageError for what makes no sense, before anything runs."""
    if wanted.edits.told() and not (targets.has_images or wanted.load):
        raise UsageError(
            "the config of the image is to be edited, but no image is asked for",
            tip="add --image PATH or --load NAME",
        )


def check_base(wanted: Wanted, base: BaseImage) -> None:
    """Raise UsageError for what the base's form has no place for."""
    if wanted.edits.annotations and base.manifest_media_type == DOCKER_MANIFEST:
        raise UsageError(
            f"{base.name} is an image of docker's schema 2, which has no annotations",
            tip="use --label, or convert the base: skopeo copy --format oci",
        )


def finish(
    wanted: Wanted,
    targets: Targets,
    job: Job,
    layers: Layers,
    config: bytes,
    steps: Pipeline,
    watch: Stopwatch,
) -> Finished:
    """Make all that is wanted; nothing has its place yet but the image in the engine."""
    if wanted.edits.told():
        from runcommit_core.oci.config import config_history
        from runcommit_core.oci.edits import edited_config

        inherited = len(config_history(job.base.config))
        config = edited_config(config, wanted.edits, created=job.layer.epoch, inherited=inherited)

    def write() -> tuple[list[Stored], tuple[OutputImage, ...]]:
        stored = targets.store(layers, job.folder)
        return stored, targets.write_images(job, stored, config, wanted.edits.annotations)

    stored, images = watch.step("write", tuple, write) if targets.writes else write()
    loaded = _load(wanted, job, stored, config, steps, watch) if wanted.load else None
    return Finished(targets.place(stored), images, loaded, config)


def _load(
    wanted: Wanted,
    job: Job,
    stored: Sequence[Stored],
    config: bytes,
    steps: Pipeline,
    watch: Stopwatch,
) -> LoadedImage:
    manifest = manifest_of(job.base, [one.blob for one in stored], config, wanted.edits.annotations)
    result = dataclasses.replace(
        job.base,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=(*job.base.layers, *(one.as_base for one in stored)),
        manifest=manifest,
        manifest_digest=digest_of_bytes(manifest),
    )
    serving = dataclasses.replace(
        job, transport=job.transport.serving(result, name=f"localhost/runcommit/result:{job.id}")
    )
    loaded = watch.step("deliver", Image, steps.deliver, job=serving, reference=wanted.load)
    return LoadedImage(
        name=loaded.name,
        manifest_digest=digest_of_bytes(manifest),
        config_digest=result.config_digest,
    )
