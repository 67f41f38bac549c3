"""The report of a job: what was asked for, what was made of it, by what and when.

Its schema is docs/reference/metadata.schema.json.  Values of variables and contents of inputs and
secrets are not in it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runcommit_core.oci.config import rfc3339
from runcommit_core.oci.mediatypes import OCI_LAYER
from runcommit_core.version import FORM, version

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.interface.values import Layer, LoadedImage, OutputImage, PushedImage, Result

METADATA_VERSION = 1


def write_metadata(path: Path, result: Result) -> None:
    """Write the report of a job as JSON; the schema's number is ``schema_version``."""
    path.write_text(json.dumps(metadata(result), indent=2, ensure_ascii=False) + "\n")


def metadata(result: Result) -> dict[str, Any]:
    """The report of a job; sizes in bytes, times in seconds."""
    engine = result.engine  # each look may ask the engine anew
    return {
        "schema_version": METADATA_VERSION,
        "runcommit": {"version": version(), "form": FORM},
        "job": result.id,
        "started": rfc3339(result.started),
        "finished": rfc3339(result.finished),
        "seconds": {step: round(seconds, 4) for step, seconds in result.seconds.items()},
        "base": {
            "reference": result.base.name,
            "config_digest": result.base.config_digest,
            "manifest_digest": result.base.manifest_digest,
            "diff_ids": list(result.base.diff_ids),
        },
        "request": dict(result.request),
        "source_date_epoch": result.epoch,
        "layers": [_layer(layer) for layer in result.layers],
        "images": [_image(image) for image in result.images],
        "loaded": _named(result.loaded) if result.loaded else None,
        "pushed": [_named(image) for image in result.pushed],
        "backend": result.backend,
        "engine": {
            "name": engine.name,
            "version": engine.version,
            "storage": engine.storage,
            "rootless": engine.rootless,
        },
        "transport": result.transport,
        "cache": result.cache,
        "warnings": list(result.warnings),
    }


def _layer(layer: Layer) -> dict[str, Any]:
    stored = layer.stored
    return {
        "diff_id": layer.diff_id,
        "digest": stored.digest if stored else layer.diff_id,
        "size": stored.size if stored else layer.size,
        "media_type": stored.media_type if stored else OCI_LAYER,
        "uncompressed_size": layer.size,
        "compressor": stored.compressor if stored else None,
    }


def _image(image: OutputImage) -> dict[str, Any]:
    return {
        "path": os.fspath(image.path),
        "form": image.kind,
        "name": image.name,
        "manifest_digest": image.manifest_digest,
        "config_digest": image.config_digest,
    }


def _named(image: LoadedImage | PushedImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "manifest_digest": image.manifest_digest,
        "config_digest": image.config_digest,
    }
