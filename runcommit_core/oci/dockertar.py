"""A hybrid image archive as a stream: an OCI layout with docker's ``manifest.json`` beside it.

Docker with graph drivers and podman read ``manifest.json``; docker's containerd store reads the
layout (moby ``image/tarexport/load.go``, containerd ``core/images/archive/importer.go``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.candidates import CONTAINERD_NAME, REF_NAME, tag_of
from runcommit_core.oci.descriptors import blob_path
from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.manifest import layer_descriptor, layout_index
from runcommit_core.oci.mediatypes import OCI_CONFIG, OCI_MANIFEST, layer_media_type
from runcommit_core.oci.model import BaseLayer, Compression, Digest
from runcommit_core.oci.output import LAYOUT
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, open_layer, open_region, verified

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_BLOCK = 512
_RECORD = 20 * _BLOCK


@dataclass(frozen=True, slots=True)
class _Sent:
    """A layer in the form in which it travels."""

    digest: Digest
    size: int
    media_type: str
    open: Callable[[], BinaryIO]


def archive_stream(
    config: bytes,
    layers: Sequence[BaseLayer],
    *,
    name: str,
    include: Callable[[BaseLayer], bool] = lambda _: True,
    zstd: bool = False,
) -> Iterator[bytes]:
    """Yield an archive for ``docker load`` or ``podman load``; equal input gives equal bytes.

    ``name`` is what the image shall be called there (``:latest`` is added to a name without a
    tag). Layers that ``include`` refuses are named but not sent: docker's graph drivers load such
    an archive when they have the layers. Then there is no OCI layout, which would be incomplete.
    With ``zstd`` false layers so compressed are sent as plain tars, as docker before 23 needs
    it; they are decompressed twice, since a tar states sizes first.

    Every layer is verified while it is sent: ArchiveError in the middle of the stream means that
    the receiver must not be told that the archive has ended.
    """
    travels = {layer.diff_id: include(layer) for layer in layers}
    sent = [_as_sent(layer, keep_zstd=zstd, travels=travels[layer.diff_id]) for layer in layers]
    complete = all(travels.values())
    documents = _documents(config, sent, name if tag_of(name) else f"{name}:latest", complete)
    blobs = {
        blob_path(one.digest): one
        for one, layer in zip(sent, layers, strict=True)
        if travels[layer.diff_id]
    }
    yield _header("blobs/", 0, directory=True)
    yield _header("blobs/sha256/", 0, directory=True)
    total = 2 * _BLOCK
    for path in sorted(documents.keys() | blobs.keys()):
        content = _stream(blobs[path]) if path in blobs else iter((documents[path],))
        size = blobs[path].size if path in blobs else len(documents[path])
        yield _header(path, size)
        yield from content
        yield bytes(-size % _BLOCK)
        total += _BLOCK + size + -size % _BLOCK
    yield bytes(2 * _BLOCK + -(total + 2 * _BLOCK) % _RECORD)


def _documents(config: bytes, sent: Sequence[_Sent], name: str, complete: bool) -> dict[str, bytes]:
    """Return the archive's small files by path."""
    config_path = blob_path(digest_of_bytes(config))
    listed = {
        "Config": config_path,
        "Layers": [blob_path(one.digest) for one in sent],
        "RepoTags": [name],
    }
    documents = {config_path: config, "manifest.json": canonical_json([listed])}
    if complete:
        manifest = canonical_json(_manifest(config, sent))
        names = {CONTAINERD_NAME: name, REF_NAME: tag_of(name)}
        index = layout_index(manifest, OCI_MANIFEST, config, names)
        documents[blob_path(digest_of_bytes(manifest))] = manifest
        documents["index.json"] = canonical_json(index)
        documents["oci-layout"] = LAYOUT
    return documents


def _manifest(config: bytes, sent: Sequence[_Sent]) -> dict[str, object]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": layer_descriptor(OCI_CONFIG, digest_of_bytes(config), len(config)),
        "layers": [layer_descriptor(one.media_type, one.digest, one.size) for one in sent],
    }


def _as_sent(layer: BaseLayer, *, keep_zstd: bool, travels: bool) -> _Sent:
    if layer.compression is Compression.ZSTD and not keep_zstd:
        return _Sent(
            digest=Digest(layer.diff_id),
            size=_plain_size(layer) if travels else 0,
            media_type=layer_media_type(Compression.NONE),
            open=lambda: open_layer(layer),
        )
    return _Sent(
        digest=layer.digest,
        size=layer.size,
        media_type=layer_media_type(layer.compression),
        open=lambda: _open_stored(layer),
    )


def _open_stored(layer: BaseLayer) -> BinaryIO:
    if layer.region is None:
        raise ArchiveError(f"layer {layer.digest}: its bytes are in the engine alone")
    return open_region(layer.region)


def _plain_size(layer: BaseLayer) -> int:
    with open_layer(layer) as stream:
        size = 0
        while chunk := stream.read(CHUNK):
            size += len(chunk)
    return size


def _stream(one: _Sent) -> Iterator[bytes]:
    name = f"layer {one.digest}"
    with verified(one.open(), one.digest, one.size, name=name) as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _header(path: str, size: int, *, directory: bool = False) -> bytes:
    import tarfile

    info = tarfile.TarInfo(path)
    info.type = tarfile.DIRTYPE if directory else tarfile.REGTYPE
    info.mode = 0o755 if directory else 0o644
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)
