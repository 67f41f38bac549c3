"""Manifest and index of a result: the base's own descriptors and the new ones.

The rules are those of image-spec manifest.md, image-index.md and annotations.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.oci.candidates import REF_NAME
from runcommit_core.oci.jsondoc import JsonObject, object_at, objects_at, parse_object
from runcommit_core.oci.mediatypes import (
    DOCKER_LAYER,
    DOCKER_MANIFEST,
    OCI_INDEX,
    OCI_LAYER,
    config_media_type,
)
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.tar.digests import Digest

BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"
CREATED = "org.opencontainers.image.created"

_PLATFORM = ("architecture", "os", "os.features", "os.version", "variant")
_DOCKER_TYPES = {
    OCI_LAYER: DOCKER_LAYER,
    f"{OCI_LAYER}+gzip": f"{DOCKER_LAYER}.gzip",
    f"{OCI_LAYER}+zstd": f"{DOCKER_LAYER}.zstd",
}


def layer_descriptor(media_type: str, digest: Digest, size: int) -> JsonObject:
    """Describe one blob."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def base_descriptors(base: BaseImage) -> list[JsonObject]:
    """Return the layers as the base's manifest describes them; from facts where it has none."""
    if base.manifest is None:
        return [_described(layer) for layer in base.layers]
    where = f"{base.name}: manifest"
    return objects_at(parse_object(base.manifest, where), "layers", where)


def result_manifest(
    base: BaseImage,
    added: Sequence[JsonObject],
    config: bytes,
    annotations: Mapping[str, str],
) -> JsonObject:
    """Put together the manifest of the base plus ``added`` layers, of the base's own type.

    The base's annotations stay, except those that would now tell of another image: ``base.name``
    goes, ``base.digest`` and ``created`` are renewed. Docker's schema 2 knows no annotations, so
    nothing is added there.
    """
    is_docker = base.manifest_media_type == DOCKER_MANIFEST
    new = [_as_docker(one) for one in added] if is_docker else list(added)
    manifest: JsonObject = {
        "schemaVersion": 2,
        "mediaType": base.manifest_media_type,
        "config": layer_descriptor(
            config_media_type(base.manifest_media_type), digest_of_bytes(config), len(config)
        ),
        "layers": [*base_descriptors(base), *new],
    }
    notes = {} if is_docker else _annotations(base, config) | dict(annotations)
    return manifest | ({"annotations": notes} if notes else {})


def layout_index(
    manifest: bytes, media_type: str, config: bytes, annotations: Mapping[str, str]
) -> JsonObject:
    """Put together an ``index.json`` with this one manifest."""
    document = parse_object(config, "the config")
    entry = layer_descriptor(media_type, digest_of_bytes(manifest), len(manifest))
    entry["platform"] = {key: document[key] for key in _PLATFORM if document.get(key)}
    if annotations:
        entry["annotations"] = dict(annotations)
    return {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}


def name_annotation(name: str | None) -> dict[str, str]:
    """Name an entry of ``index.json``; no name, no annotation."""
    return {REF_NAME: name} if name else {}


def _annotations(base: BaseImage, config: bytes) -> JsonObject:
    where = f"{base.name}: manifest"
    own = (
        object_at(parse_object(base.manifest, where), "annotations", where) if base.manifest else {}
    )
    kept = {key: value for key, value in own.items() if key not in (BASE_NAME, BASE_DIGEST)}
    if CREATED in kept:
        kept[CREATED] = parse_object(config, "the config").get("created", kept[CREATED])
    if base.manifest_digest is not None:
        kept[BASE_DIGEST] = base.manifest_digest
    return kept


def _described(layer: BaseLayer) -> JsonObject:
    return layer_descriptor(layer.media_type, layer.digest, layer.size)


def _as_docker(one: JsonObject) -> JsonObject:
    return one | {"mediaType": _DOCKER_TYPES.get(one["mediaType"], one["mediaType"])}
