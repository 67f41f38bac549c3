"""Bases that only the engine has: ``engine:REF``.

An engine gives the raw config of an image only by handing the image over, so the first job on one
reads it whole.  Later jobs find the config, by the engine's id of the image, in the cache.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.cachedir import cache_dir
from runcommit_core.errors import ArchiveError
from runcommit_core.interface.values import Image, SavedImage
from runcommit_core.oci.config import config_diff_ids
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.oci.model import BaseImage, BaseLayer, FileRegion
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.plan.making import OpenBase
from runcommit_core.staging import replacing
from runcommit_core.steps.stacking import plain_layer

if TYPE_CHECKING:
    from runcommit_core.interface.hookspecs import Pipeline
    from runcommit_core.interface.job import Job
    from runcommit_core.steps.stopwatch import Stopwatch

_PREFIX = "engine:"


def open_engine_base(steps: Pipeline, job: Job, reference: str, watch: Stopwatch) -> OpenBase:
    """The engine's image, and a way to its layers' bytes that asks the engine at most once.

    ``job`` is on the empty base, so that what is saved is the whole image.
    """
    name = reference.removeprefix(_PREFIX)
    image = watch.step("resolve", Image, steps.resolve, job=job, reference=name)

    @functools.cache
    def saved() -> SavedImage:
        return watch.step("read", SavedImage, steps.save, job=job, image=image)

    def locate(layer: BaseLayer) -> BaseLayer:
        if layer.region:
            return layer
        for raw in saved().layers:
            if raw.diff_id == layer.diff_id:
                with raw.open() as stream:
                    path, size = Path(stream.name), os.fstat(stream.fileno()).st_size
                return dataclasses.replace(layer, size=size, region=FileRegion(path, 0, size))
        raise ArchiveError(f"the engine's image {reference} came without its layer {layer.diff_id}")

    config = _cached_config(image)
    if config is None:
        config = saved().config
        _remember(image, config)
    return OpenBase(image=base_of_config(reference, config), locate=locate)


def base_of_config(reference: str, config: bytes) -> BaseImage:
    """An image of which the config is known, and the bytes of no layer are in reach."""
    return BaseImage(
        name=reference,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=tuple(
            plain_layer(diff_id, None)
            for diff_id in config_diff_ids(config, f"the config of {reference}")
        ),
        manifest=None,
        manifest_media_type=OCI_MANIFEST,
        manifest_digest=None,
    )


def _config_path(image: Image) -> Path:
    return cache_dir() / "engine-configs" / f"{image.id.removeprefix('sha256:')}.json"


def _cached_config(image: Image) -> bytes | None:
    """The config kept for this image id, with the hash that was written beside it."""
    try:
        digest, _, config = _config_path(image).read_bytes().partition(b"\n")
    except OSError:
        return None
    return config if digest == digest_of_bytes(config).encode() else None


def _remember(image: Image, config: bytes) -> None:
    path = _config_path(image)
    if not image.id:
        return
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with replacing(path) as beside:
        beside.write_bytes(digest_of_bytes(config).encode() + b"\n" + config)
