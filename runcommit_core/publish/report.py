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
    from collections.abc import Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.interface.values import (
        Layer,
        LoadedImage,
        Mount,
        OutputImage,
        Result,
        RunOptions,
    )
    from runcommit_core.publish.finish import Wanted
    from runcommit_core.request.commands import Commands

METADATA_VERSION = 1


def request_of(
    job: Job,
    todo: Commands,
    wanted: Wanted,
    *,
    exclude: str | Sequence[str],
    clean: str | Sequence[str],
    split: bool,
) -> dict[str, Any]:
    """What was asked for, as JSON: all that shapes the result.  ``job`` is ready to run.

    Reads the inputs, for their digests.
    """
    return {
        "commands": list(todo.texts),
        "run": _run(job.run, job.layer.epoch),
        "layer": {
            "mtime": job.layer.mtime,
            "xattrs": job.layer.xattrs,
            "always": job.layer.always,
            "split": split,
            "exclude": _listed(exclude),
            "clean": _listed(clean),
        },
        "compression": str(wanted.compression),
        "config": wanted.edits.told(),
    }


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
        "loaded": _loaded(result.loaded) if result.loaded else None,
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


def _run(run: RunOptions, epoch: int) -> dict[str, Any]:
    return {
        "env": sorted(run.env),
        "user": run.user,
        "workdir": run.workdir,
        "network": run.network,
        "platform": run.platform,
        "memory": run.memory,
        "cpus": run.cpus,
        "timeout": run.timeout,
        "flags": list(run.flags),
        "mounts": [_mount(mount, epoch) for mount in run.mounts],
    }


def _mount(mount: Mount, epoch: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "kind": mount.kind,
        "target": mount.target,
        "read_only": mount.read_only,
    }
    if mount.name:
        told["name"] = mount.name
    if mount.kind == "input":
        told["digest"] = _input_digest(mount.source, epoch)
    return told


def _input_digest(source: str, epoch: int) -> dict[str, str]:
    """A file by its content's hash, as everybody computes it; a directory by our own."""
    if not os.path.isdir(source):  # noqa: PTH112 - as the engine is given it
        from runcommit_core.oci.regions import digest_of

        with open(source, "rb") as file:  # noqa: PTH123
            return {"sha256": digest_of(file)[0].removeprefix("sha256:")}
    from runcommit_core.cache.inputs import tree_digest

    return {"runcommitTree": tree_digest(source, epoch)}


def _listed(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


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


def _loaded(image: LoadedImage) -> dict[str, Any]:
    return {
        "name": image.name,
        "manifest_digest": image.manifest_digest,
        "config_digest": image.config_digest,
    }
