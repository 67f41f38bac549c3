"""What a job leaves behind besides the layer: the complete image and the metadata."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.errors import UsageError
from runcommit_core.model import Job, Layer, Layers, OutputImage, Result
from runcommit_core.oci.config import result_config
from runcommit_core.oci.mediatypes import OCI_LAYER
from runcommit_core.oci.model import Digest
from runcommit_core.oci.output import NewLayer, check_replaceable, write_layout
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from runcommit_core.staging import Staging

METADATA_VERSION = 1


class Targets:
    """Where the outputs of a job go, checked before it runs and filled when it is done."""

    def __init__(
        self,
        staged: Staging,
        layer: str | os.PathLike[str] | None,
        image: str | os.PathLike[str] | None,
        metadata: str | os.PathLike[str] | None,
    ) -> None:
        self._staged = staged
        self._layer = Path(layer) if layer else None
        self.layer_file = staged.beside(self._layer) if self._layer else None
        self._report = staged.beside(Path(metadata)) if metadata else None
        self.image = Path(image) if image else None
        if self.image:
            check_replaceable(self.image.resolve())
            if self.image.resolve() in staged.places:
                raise UsageError(f"cannot write {self.image}: it is the place of two outputs")

    def place(self, layers: Layers) -> tuple[Layer, ...]:
        """The layers at the places where they will be."""
        if not self._layer:
            return layers.layers
        if [layer.path for layer in layers] == [self.layer_file]:
            return (dataclasses.replace(layers.layers[0], path=self._layer),)
        return tuple(
            self._copied(layer, numbered(self._layer, number))
            for number, layer in enumerate(layers, start=1)
        )

    def publish(self, result: Result) -> None:
        """Write the report and rename everything to its place."""
        if self._report:
            write_metadata(self._report, result)
        self._staged.publish()

    def _copied(self, layer: Layer, place: Path) -> Layer:
        shutil.copyfile(layer.path, self._staged.beside(place))
        return dataclasses.replace(layer, path=place)


def numbered(place: Path, number: int) -> Path:
    """Where one of several layers goes: ``layer.tar`` stands for ``layer.1.tar`` and so on."""
    return place.with_name(f"{place.stem}.{number}{place.suffix}")


def extended_config(config: bytes, layers: Layers, epoch: int, history: str) -> bytes:
    """An image's config plus what a run added: the base's own, but for what is new."""
    return result_config(
        config,
        layers=[layer.diff_id for layer in layers],
        created=epoch,
        created_by=history,
        comment="runcommit",
    )


def write_image(place: Path, job: Job, layers: Layers, config: bytes) -> OutputImage:
    """Write the base's layers and the new ones as an OCI layout under ``config``."""
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
    engine = result.engine  # each look may ask the engine anew
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
            "name": engine.name,
            "version": engine.version,
            "storage": engine.storage,
            "rootless": engine.rootless,
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
        "media_type": OCI_LAYER,
    }


def _as_blob(layer: Layer) -> NewLayer:
    return NewLayer(
        path=layer.path,
        diff_id=layer.diff_id,
        digest=Digest(layer.diff_id),
        size=layer.size,
        media_type=OCI_LAYER,
    )
