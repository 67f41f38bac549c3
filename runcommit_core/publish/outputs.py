"""From the new layers to what is stored of them: the layers' files, complete images in any form."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING

from runcommit_core.disk.places import real_place
from runcommit_core.errors import UsageError
from runcommit_core.interface.values import Layer, Layers, OutputImage, StoredAs
from runcommit_core.oci.keeping import keep_others
from runcommit_core.oci.mediatypes import layer_media_type
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.oci.output import NewLayer, fill_layout, manifest_of
from runcommit_core.oci.references import Kind
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from runcommit_core.interface.job import Job
    from runcommit_core.oci.compress import LayerCompression
    from runcommit_core.oci.imageplace import ImagePlace
    from runcommit_core.oci.model import BaseImage
    from runcommit_core.plan.targets import Targets


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


def store(
    layers: Layers, folder: Path, targets: Targets, compression: LayerCompression
) -> list[Stored]:
    """The layers in the form in which the outputs have them; ``folder`` takes files."""
    if not compression.level:
        return [Stored(layer, layer.path, Compression.NONE) for layer in layers]
    only = targets.layer_file if len(layers) == 1 else None
    return [
        _compressed(layer, only or numbered(folder / "stored", number), compression)
        for number, layer in enumerate(layers, start=1)
    ]


def put(stored: Sequence[Stored], place: Path | None, targets: Targets) -> tuple[Layer, ...]:
    """The layers at the places where they will be; ``place`` is what the user named."""
    return tuple(
        dataclasses.replace(one.plain, path=_put(one, number, place, targets), stored=one.facts)
        for number, one in enumerate(stored, start=1)
    )


def take_stale_parts(count: int, place: Path, targets: Targets) -> None:
    """Let what an earlier ``--split`` of more layers wrote go: no set of parts is of two jobs."""
    number = count + 1
    while numbered(place, number).is_file():
        targets.staged.beside(numbered(place, number))
        number += 1


def write_images(
    job: Job,
    stored: Sequence[Stored],
    config: bytes,
    annotations: Mapping[str, str],
    targets: Targets,
) -> tuple[OutputImage, ...]:
    """Write the complete image in every form that was asked for."""
    if not targets.images:
        return ()
    base = dataclasses.replace(job.base, layers=tuple(map(job.locate, job.base.layers)))
    written = []
    for place, path in targets.images:
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


def _compressed(layer: Layer, file: Path, compression: LayerCompression) -> Stored:
    from runcommit_core.oci.compress import compress_file

    done = compress_file(layer.path, file, compression)
    media_type = layer_media_type(compression.kind)
    facts = StoredAs(done.digest, done.size, media_type, done.compressor)
    return Stored(layer, file, compression.kind, facts)


def _put(one: Stored, number: int, place: Path | None, targets: Targets) -> Path:
    if not place:
        return one.plain.path
    if one.file == targets.layer_file:
        return place
    part = numbered(place, number)
    shutil.copyfile(one.file, targets.staged.beside(part))
    return part


def numbered(place: Path, number: int) -> Path:
    """Where one of several layers goes: ``layer.tar`` stands for ``layer.1.tar`` and so on."""
    packed = place.suffixes[-2:-1] == [".tar"]
    suffix = "".join(place.suffixes[-2:]) if packed else place.suffix
    return place.with_name(f"{place.name.removesuffix(suffix)}.{number}{suffix}")


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
        written = fill_layout(path, base, blobs, config, name=place.name, annotations=annotations)
        if place.name:
            keep_others(path, real_place(place.path), place.name)
        return written.manifest_digest
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
