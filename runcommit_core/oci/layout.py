"""An OCI image layout, in a directory or an archive, as a base image.

The rules are those of image-spec image-layout.md and manifest.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.blobs import find_blob, read_blob
from runcommit_core.oci.candidates import Candidate, choose, find_candidates
from runcommit_core.oci.compression import SNIFF_LENGTH, sniff
from runcommit_core.oci.config import config_diff_ids, with_platform
from runcommit_core.oci.descriptors import Descriptor, descriptor
from runcommit_core.oci.jsondoc import object_at, objects_at, parse_object
from runcommit_core.oci.mediatypes import (
    DOCKER_CONFIG,
    DOCKER_MANIFEST,
    OCI_MANIFEST,
    layer_media_type,
)
from runcommit_core.oci.members import read_document
from runcommit_core.oci.model import BaseImage, BaseLayer

if TYPE_CHECKING:
    from runcommit_core.oci.members import Members
    from runcommit_core.oci.platforms import Platform
    from runcommit_core.tar.digests import DiffId


def read_layout(
    members: Members, *, name: str | None, platform: Platform | None, reference: str
) -> BaseImage:
    """Read the one image of a layout that name and platform select.

    Manifest and config are verified by digest and size, layers by their size alone.
    """
    _check_version(members)
    index = parse_object(read_document(members, "index.json"), f"{members.label}: index.json")
    chosen = choose(find_candidates(members, index, name), members.label, platform)
    return _image(members, chosen, reference, platform)


def _check_version(members: Members) -> None:
    where = f"{members.label}: oci-layout"
    version = parse_object(read_document(members, "oci-layout"), where).get("imageLayoutVersion")
    if version != "1.0.0":
        raise ArchiveError(f"{where}: imageLayoutVersion is {version!r} and must be '1.0.0'")


def _image(
    members: Members, chosen: Candidate, reference: str, platform: Platform | None
) -> BaseImage:
    where = f"{members.label}: manifest {chosen.blob.digest}"
    blob = descriptor(object_at(chosen.document, "config", where), f"{where}: config")
    place = f"{members.label}: config {blob.digest}"
    config = with_platform(read_blob(members, blob, "config"), place, chosen.platform, platform)
    diff_ids = config_diff_ids(config, place)
    listed = [
        descriptor(item, f"{where}: layers[{place}]")
        for place, item in enumerate(objects_at(chosen.document, "layers", where))
    ]
    if len(listed) != len(diff_ids):
        raise ArchiveError(
            f"{where}: lists {len(listed)} layers, but its config has {len(diff_ids)} diff_ids"
        )
    return BaseImage(
        name=reference,
        config=config,
        config_digest=blob.digest,
        layers=tuple(
            _layer(members, one, diff_id) for one, diff_id in zip(listed, diff_ids, strict=True)
        ),
        manifest=chosen.bytes,
        manifest_media_type=_manifest_type(chosen, blob),
        manifest_digest=chosen.blob.digest,
    )


def _manifest_type(chosen: Candidate, config: Descriptor) -> str:
    stated = chosen.document.get("mediaType") or chosen.blob.media_type
    if stated:
        return str(stated)
    return DOCKER_MANIFEST if config.media_type == DOCKER_CONFIG else OCI_MANIFEST


def _layer(members: Members, blob: Descriptor, diff_id: DiffId) -> BaseLayer:
    what = f"layer {blob.digest}"
    if blob.media_type.endswith("+encrypted"):
        raise ArchiveError(
            f"{members.label}: the {what} is encrypted ({blob.media_type})",
            tip="decrypt the image first, for example with skopeo copy --decryption-key",
        )
    region = find_blob(members, blob, "layer")
    compression = sniff(members.read(region, SNIFF_LENGTH))
    layer_media_type(compression)
    return BaseLayer(diff_id, blob.digest, blob.size, blob.media_type, compression, region)
