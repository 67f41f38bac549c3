"""What a job leaves behind besides the layer: the complete image and the metadata."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any

from runcommit_core.model import Job, Layer, Layers, OutputImage, Result
from runcommit_core.oci.config import result_config
from runcommit_core.oci.model import Digest
from runcommit_core.oci.output import NewLayer, write_layout
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from pathlib import Path

METADATA_VERSION = 1

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def write_image(place: Path, job: Job, layers: Layers, history: str) -> OutputImage:
    """Write base and new layers as an OCI layout, under the base's config plus what is new."""
    config = result_config(
        job.base.config,
        layers=[layer.diff_id for layer in layers],
        created=job.layer.epoch,
        created_by=history,
        comment="runcommit",
    )

    base = dataclasses.replace(job.base, layers=tuple(map(job.locate, job.base.layers)))
    written = write_layout(place, base, [_as_blob(layer) for layer in layers], config, name=None)
    return OutputImage(
        path=place,
        manifest_digest=written.manifest_digest,
        config_digest=digest_of_bytes(config),
    )


def write_metadata(path: Path, result: Result) -> None:
    """Write the report of a job as JSON; the schema's number is ``schema_version``."""
    path.write_text(json.dumps(metadata(result), indent=2, ensure_ascii=False) + "\n")


def metadata(result: Result) -> dict[str, Any]:
    """The report of a job; sizes in bytes, times in seconds."""
    return {
        "schema_version": METADATA_VERSION,
        "base": {
            "reference": result.base.name,
            "config_digest": result.base.config_digest,
            "manifest_digest": result.base.manifest_digest,
            "diff_ids": list(result.base.diff_ids),
        },
        "layers": [_layer(layer) for layer in result.layers],
        "image": None
        if result.image is None
        else {
            "path": os.fspath(result.image.path),
            "manifest_digest": result.image.manifest_digest,
            "config_digest": result.image.config_digest,
        },
        "source_date_epoch": result.epoch,
        "backend": result.backend,
        "engine": {
            "name": result.engine.name,
            "version": result.engine.version,
            "storage": result.engine.storage,
            "rootless": result.engine.rootless,
        },
        "transport": result.transport,
        "seconds": {step: round(seconds, 4) for step, seconds in result.seconds.items()},
        "warnings": list(result.warnings),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "diff_id": layer.diff_id,
        "digest": layer.diff_id,
        "size": layer.size,
        "media_type": _LAYER_TYPE,
    }


def _as_blob(layer: Layer) -> NewLayer:
    return NewLayer(
        path=layer.path,
        diff_id=layer.diff_id,
        digest=Digest(layer.diff_id),
        size=layer.size,
        media_type=_LAYER_TYPE,
    )
