"""What a job leaves behind: the layer's files, complete images in any form, the reports."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.interface.values import Layer, Layers, OutputImage, Result, StoredAs
from runcommit_core.oci.compress import UNCOMPRESSED, LayerCompression
from runcommit_core.oci.config import result_config
from runcommit_core.oci.edits import DEFAULT_COMMENT
from runcommit_core.oci.imageplace import ImagePlace, parse_image_place
from runcommit_core.oci.mediatypes import layer_media_type
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.oci.output import (
    NewLayer,
    check_replaceable,
    fill_layout,
    manifest_of,
    replace_layout,
)
from runcommit_core.oci.references import Kind
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from runcommit_core.interface.job import Job
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.staging import Staging

    PathLike = str | os.PathLike[str]


@record
class Stored:
    """A new layer as the outputs hold it, beside its plain tar: ``file`` has it for now."""

    plain: Layer
    file: Path
    kind: Compression
    facts: StoredAs | None = None

    @property
    def blob(self) -> NewLayer:
        """The layer for a manifest."""
        return NewLayer(
            path=self.file,
            diff_id=self.plain.diff_id,
            digest=self.facts.digest if self.facts else Digest(self.plain.diff_id),
            size=self.facts.size if self.facts else self.plain.size,
            media_type=layer_media_type(self.kind),
        )

    @property
    def as_base(self) -> BaseLayer:
        """The layer as one of an image that can be read."""
        blob = self.blob
        region = FileRegion(self.file, 0, blob.size)
        return BaseLayer(blob.diff_id, blob.digest, blob.size, blob.media_type, self.kind, region)


class Targets:
    """Where the outputs of a job go, checked before it runs and filled when it is done."""

    def __init__(
        self,
        staged: Staging,
        layer: PathLike | None = None,
        images: PathLike | Sequence[PathLike] | None = None,
        *,
        default: Kind = Kind.OCI,
        metadata: PathLike | None = None,
        provenance: PathLike | None = None,
        compression: LayerCompression = UNCOMPRESSED,
    ) -> None:
        self._staged = staged
        self._compression = compression
        self._layer = Path(layer) if layer else None
        self._layer_file = staged.beside(self._layer) if self._layer else None
        self._report = staged.beside(Path(metadata)) if metadata else None
        self._provenance = staged.beside(Path(provenance)) if provenance else None
        self._images = [(place, self._open(place)) for place in _places(images, default)]

    @property
    def layer_file(self) -> Path | None:
        """Where the job may write its only layer itself."""
        return None if self._compression.level else self._layer_file

    @property
    def has_images(self) -> bool:
        return bool(self._images)

    @property
    def writes(self) -> bool:
        """Whether layers are to be compressed or images written, which takes its time."""
        return bool(self._compression.level) or self.has_images

    @property
    def told(self) -> bool:
        """Whether a report is to be written, which takes the engine's description."""
        return bool(self._report or self._provenance)

    def store(self, layers: Layers, folder: Path) -> list[Stored]:
        """The layers in the form in which the outputs have them; ``folder`` takes files."""
        only = len(layers) == 1
        return [
            self._stored(layer, numbered(folder / "stored", number), only=only)
            for number, layer in enumerate(layers, start=1)
        ]

    def place(self, stored: Sequence[Stored]) -> tuple[Layer, ...]:
        """The layers at the places where they will be."""
        return tuple(
            dataclasses.replace(one.plain, path=self._placed(one, number), stored=one.facts)
            for number, one in enumerate(stored, start=1)
        )

    def write_images(
        self,
        job: Job,
        stored: Sequence[Stored],
        config: bytes,
        annotations: Mapping[str, str],
    ) -> tuple[OutputImage, ...]:
        """Write the complete image in every form that was asked for."""
        if not self._images:
            return ()
        base = dataclasses.replace(job.base, layers=tuple(map(job.locate, job.base.layers)))
        written = []
        for place, path in self._images:
            try:
                digest = _write_image(place, path, base, stored, config, annotations)
            except OSError as error:
                raise UsageError(f"cannot write the image {place.path}: {error}") from error
            written.append(
                OutputImage(
                    path=place.path,
                    kind=place.kind.value,
                    name=place.name,
                    manifest_digest=digest,
                    config_digest=digest_of_bytes(config),
                )
            )
        return tuple(written)

    def publish(self, result: Result) -> None:
        """Write the reports and rename everything to its place."""
        if self._report:
            from runcommit_core.publish.report import write_metadata

            write_metadata(self._report, result)
        if self._provenance:
            from runcommit_core.publish.provenance import write_provenance

            write_provenance(self._provenance, result)
        self._staged.publish()

    def _open(self, place: ImagePlace) -> Path:
        if place.kind is not Kind.OCI:
            return self._staged.beside(place.path)
        check_replaceable(place.path.resolve())
        return self._staged.folder(place.path, replace_layout)

    def _stored(self, layer: Layer, file: Path, *, only: bool) -> Stored:
        if not self._compression.level:
            return Stored(layer, layer.path, Compression.NONE)
        from runcommit_core.oci.compress import compress_file

        file = self._layer_file if only and self._layer_file else file
        done = compress_file(layer.path, file, self._compression)
        kind = self._compression.kind
        facts = StoredAs(done.digest, done.size, layer_media_type(kind), done.compressor)
        return Stored(layer, file, kind, facts)

    def _placed(self, one: Stored, number: int) -> Path:
        if not self._layer:
            return one.plain.path
        if one.file == self._layer_file:
            return self._layer
        place = numbered(self._layer, number)
        shutil.copyfile(one.file, self._staged.beside(place))
        return place


def numbered(place: Path, number: int) -> Path:
    """Where one of several layers goes: ``layer.tar`` stands for ``layer.1.tar`` and so on."""
    packed = place.suffixes[-2:-1] == [".tar"]
    suffix = "".join(place.suffixes[-2:]) if packed else place.suffix
    return place.with_name(f"{place.name.removesuffix(suffix)}.{number}{suffix}")


def extended_config(config: bytes, layers: Layers, epoch: int, history: str) -> bytes:
    """An image's config plus what a run added: the base's own, but for what is new."""
    return result_config(
        config,
        layers=[layer.diff_id for layer in layers],
        created=epoch,
        created_by=history,
        comment=DEFAULT_COMMENT,
    )


def _places(images: PathLike | Sequence[PathLike] | None, default: Kind) -> list[ImagePlace]:
    if not images:
        return []
    single = isinstance(images, (str, os.PathLike))
    given: Iterable[PathLike] = [images] if single else images  # type: ignore[list-item,assignment]
    return [parse_image_place(each, default) for each in given]


def _write_image(
    place: ImagePlace,
    path: Path,
    base: BaseImage,
    stored: Sequence[Stored],
    config: bytes,
    annotations: Mapping[str, str],
) -> Digest | None:
    """Write one image; the digest of the manifest that it has, if it has the result's own."""
    from runcommit_core.oci.dockertar import archive_stream, layout_archive_stream

    blobs = [one.blob for one in stored]
    if place.kind is Kind.OCI:
        return fill_layout(
            path, base, blobs, config, name=place.name, annotations=annotations
        ).manifest_digest
    if place.kind is Kind.OCI_ARCHIVE:
        manifest = manifest_of(base, blobs, config, annotations)
        layers = [*base.layers, *(one.as_base for one in stored)]
        _spool(path, layout_archive_stream(manifest, config, layers, name=place.name))
        return digest_of_bytes(manifest)
    plain = [Stored(one.plain, one.plain.path, Compression.NONE).as_base for one in stored]
    _spool(path, archive_stream(config, [*base.layers, *plain], name=place.name))
    return None


def _spool(path: Path, chunks: Iterator[bytes]) -> None:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
