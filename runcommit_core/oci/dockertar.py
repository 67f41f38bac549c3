"""A hybrid image archive as a stream: an OCI layout with docker's ``manifest.json`` beside it.

Docker with graph drivers and podman read ``manifest.json``; docker's containerd store reads the
layout (moby ``image/tarexport/load.go``, containerd ``core/images/archive/importer.go``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.candidates import CONTAINERD_NAME, REF_NAME
from runcommit_core.oci.descriptors import blob_path
from runcommit_core.oci.jsondoc import canonical_json, parse_object, text_at
from runcommit_core.oci.manifest import layer_descriptor, layout_index, name_annotation
from runcommit_core.oci.mediatypes import OCI_CONFIG, OCI_MANIFEST, layer_media_type
from runcommit_core.oci.model import BaseLayer, Compression
from runcommit_core.oci.output import LAYOUT
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, open_layer, open_region, verified
from runcommit_core.oci.remotenames import full_name, tag_of
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_BLOCK = 512
_RECORD = 20 * _BLOCK


@record
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
    name: str | None,
    include: Callable[[BaseLayer], bool] = lambda _: True,
    zstd: bool = False,
) -> Iterator[bytes]:
    """Yield an archive for ``docker load`` or ``podman load``; equal input gives equal bytes.

    ``name`` is what the image shall be called there (``:latest`` is added to a name without a
    tag), if anything. Layers that ``include`` refuses are named but not sent: docker's graph
    drivers load such an archive when they have the layers. Then there is no OCI layout, which
    would be incomplete. With ``zstd`` false layers so compressed are sent as plain tars, as docker
    before 23 needs it; they are decompressed twice, since a tar states sizes first.

    Every layer is verified while it is sent: ArchiveError in the middle of the stream means that
    the receiver must not be told that the archive has ended.
    """
    travels = {layer.diff_id: include(layer) for layer in layers}
    sent = [_as_sent(layer, keep_zstd=zstd, travels=travels[layer.diff_id]) for layer in layers]
    tagged = _with_tag(name)
    documents = _docker_documents(config, sent, tagged)
    if all(travels.values()):
        documents |= _layout_documents(config, _manifest(config, sent), _names(tagged))
    blobs = [one for one, layer in zip(sent, layers, strict=True) if travels[layer.diff_id]]
    return _archive(documents, blobs)


def layout_archive_stream(
    manifest: bytes, config: bytes, layers: Sequence[BaseLayer], *, name: str | None
) -> Iterator[bytes]:
    """Yield an OCI layout as an archive, the layers as ``manifest`` lists them.

    ``manifest.json`` is there as well, so that every docker loads it. ``name`` becomes the
    ``ref.name`` in ``index.json``; where it is no bare tag, the image's name in the engine, too.
    """
    sent = [_as_sent(layer, keep_zstd=True, travels=True) for layer in layers]
    tagged = _with_tag(name) if name and re.search("[:/]", name) else None
    names = _names(tagged) | name_annotation(name)
    documents = _docker_documents(config, sent, tagged)
    return _archive(documents | _layout_documents(config, manifest, names), sent)


def _archive(documents: Mapping[str, bytes], layers: Sequence[_Sent]) -> Iterator[bytes]:
    blobs = {blob_path(one.digest): one for one in layers}
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


def _docker_documents(config: bytes, sent: Sequence[_Sent], name: str | None) -> dict[str, bytes]:
    """Return what docker's graph drivers read, by path."""
    config_path = blob_path(digest_of_bytes(config))
    listed = {
        "Config": config_path,
        "Layers": [blob_path(one.digest) for one in sent],
        "RepoTags": [name] if name else None,
    }
    return {config_path: config, "manifest.json": canonical_json([listed])}


def _layout_documents(config: bytes, manifest: bytes, names: Mapping[str, str]) -> dict[str, bytes]:
    """Return what makes the archive an OCI layout, by path."""
    media_type = text_at(parse_object(manifest, "the manifest"), "mediaType", "the manifest")
    return {
        blob_path(digest_of_bytes(manifest)): manifest,
        "index.json": canonical_json(layout_index(manifest, media_type, config, names)),
        "oci-layout": LAYOUT,
    }


def _with_tag(name: str | None) -> str | None:
    return name if name is None or tag_of(name) else f"{name}:latest"


def _names(name: str | None) -> dict[str, str]:
    """Return the annotations from which containerd takes an image's name, as docker spells it.

    Docker with the containerd store lists an image under a shorter name, but does not find it.
    """
    return {CONTAINERD_NAME: full_name(name), REF_NAME: tag_of(name)} if name else {}


def _manifest(config: bytes, sent: Sequence[_Sent]) -> bytes:
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": layer_descriptor(OCI_CONFIG, digest_of_bytes(config), len(config)),
            "layers": [layer_descriptor(one.media_type, one.digest, one.size) for one in sent],
        }
    )


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
