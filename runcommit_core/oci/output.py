"""Writing the result as an OCI layout: the base's blobs as they are, plus what is new."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING, BinaryIO

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.descriptors import blob_path
from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.manifest import (
    layer_descriptor,
    layout_index,
    name_annotation,
    result_manifest,
)
from runcommit_core.oci.model import Compression
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, open_region, verified
from runcommit_core.records import record
from runcommit_core.staging import staging

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.tar.digests import DiffId, Digest

LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
"""The content of the file ``oci-layout``."""


@record
class NewLayer:
    """A layer of ours: ``size`` bytes in ``path`` as they are to be stored.

    ``media_type`` is OCI's; in an image of docker's schema 2 it becomes docker's.
    """

    path: Path
    diff_id: DiffId
    digest: Digest
    size: int
    media_type: str


@record
class WrittenImage:
    """What stands in the layout now."""

    manifest_digest: Digest
    manifest: bytes


def bytes_elsewhere(layer: BaseLayer) -> BinaryIO:
    """Stand for the source of layers without a region where there should be none."""
    raise ArchiveError(f"layer {layer.digest}: its bytes are in the engine alone")


def write_layout(
    destination: Path,
    base: BaseImage,
    layers: Sequence[NewLayer],
    config: bytes,
    *,
    name: str | None,
    annotations: Mapping[str, str] | None = None,
    fetch: Callable[[BaseLayer], BinaryIO] = bytes_elsewhere,
) -> WrittenImage:
    """Write base plus layers as an OCI layout directory; equal input gives equal bytes.

    It is made beside ``destination`` and then takes its place: an OCI layout or an empty directory
    there is replaced, anything else is a UsageError. See :func:`fill_layout`.
    """
    with staging() as staged:
        folder = staged.folder(destination, check_replaceable)
        try:
            written = fill_layout(
                folder, base, layers, config, name=name, annotations=annotations, fetch=fetch
            )
        except OSError as error:
            raise UsageError(f"cannot write the image {destination}: {error}") from error
        staged.publish()
    return written


def fill_layout(
    folder: Path,
    base: BaseImage,
    layers: Sequence[NewLayer],
    config: bytes,
    *,
    name: str | None,
    annotations: Mapping[str, str] | None = None,
    fetch: Callable[[BaseLayer], BinaryIO] = bytes_elsewhere,
) -> WrittenImage:
    """Write base plus layers as an OCI layout into a folder that is not there yet.

    Whole blob files are hard-linked, all other blobs are copied and verified. ``fetch`` opens the
    stored bytes of a layer that has no region. ``name`` becomes the ``ref.name`` in
    ``index.json``, ``annotations`` go into the manifest.
    """
    _make_folders(folder)
    _store_base(folder, base, fetch)
    for layer in layers:
        _copy_new(layer, folder / blob_path(layer.digest))
    manifest = manifest_of(base, layers, config, annotations or {})
    index = layout_index(manifest, base.manifest_media_type, config, name_annotation(name))
    _write_documents(folder, manifest, config, canonical_json(index))
    return WrittenImage(digest_of_bytes(manifest), manifest)


def manifest_of(
    base: BaseImage, layers: Sequence[NewLayer], config: bytes, annotations: Mapping[str, str]
) -> bytes:
    """The manifest of base plus layers."""
    added = [layer_descriptor(layer.media_type, layer.digest, layer.size) for layer in layers]
    return canonical_json(result_manifest(base, added, config, annotations))


def check_replaceable(target: Path) -> None:
    """Raise UsageError for a place that an image must not take: no folder, or somebody's things."""
    if not target.parent.is_dir():
        raise UsageError(f"cannot write the image {target}: there is no folder {target.parent}")
    if not target.exists() or (target / "oci-layout").is_file():
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    raise UsageError(
        f"{target}: exists and is no OCI layout, so it is not replaced",
        tip="name another path, or remove what is there",
    )


def _make_folders(staging: Path) -> None:
    (staging / "blobs" / "sha256").mkdir(parents=True)


def _store_base(staging: Path, base: BaseImage, fetch: Callable[[BaseLayer], BinaryIO]) -> None:
    for layer in {layer.digest: layer for layer in base.layers}.values():
        path = staging / blob_path(layer.digest)
        if _link(layer, path):
            continue
        source = fetch(layer) if layer.region is None else open_region(layer.region)
        with verified(source, layer.digest, layer.size, name=f"layer {layer.digest}") as stream:
            _copy(stream, path)


def _link(layer: BaseLayer, path: Path) -> bool:
    """Share the base's file, where the layer is all of it; the link's mode is never touched."""
    region = layer.region
    if region is None or region.offset or region.wrapped is not Compression.NONE:
        return False
    source = region.path.resolve()
    if source.stat().st_size != region.size:
        return False
    with contextlib.suppress(OSError):  # another file system, or links are not permitted
        os.link(source, path)
        return True
    return False


def _copy(stream: BinaryIO, path: Path) -> None:
    with path.open("xb") as file:
        while chunk := stream.read(CHUNK):
            file.write(chunk)


def _copy_new(layer: NewLayer, path: Path) -> None:
    # A copy, not a link: the user may keep and change the layer file that we were given.
    if path.exists():
        return
    shutil.copyfile(layer.path, path)
    if path.stat().st_size != layer.size:
        raise ArchiveError(
            f"{layer.path}: has no longer the {layer.size} bytes it was written with"
        )


def _write_documents(staging: Path, manifest: bytes, config: bytes, index: bytes) -> None:
    for data in (manifest, config):
        (staging / blob_path(digest_of_bytes(data))).write_bytes(data)
    (staging / "index.json").write_bytes(index)
    (staging / "oci-layout").write_bytes(LAYOUT)
