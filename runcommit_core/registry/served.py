"""The private copy of the base, as an image that can be pulled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.oci.config import private_config
from runcommit_core.oci.jsondoc import canonical_json
from runcommit_core.oci.manifest import layer_descriptor
from runcommit_core.oci.mediatypes import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    layer_media_type,
)
from runcommit_core.oci.model import Compression
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.oci.unpacked import unpacked_layer
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runcommit_core.oci.jsondoc import JsonObject
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.tar.digests import Digest

BASE_COPIES = "localhost/runcommit/base"
"""What the private copies of bases are called in an engine, before the tag."""

_SERVABLE = frozenset((Compression.NONE, Compression.GZIP, Compression.ZSTD))


@record
class ServedImage:
    """The image that can be pulled: raw manifest and config, and layers by digest.

    ``name`` is what the engine keeps the private copy of the base under: a pure function of the
    base's config.
    """

    name: str
    manifest: bytes
    manifest_digest: Digest
    config: bytes
    config_digest: Digest
    layers: Mapping[str, BaseLayer]
    media_type: str = OCI_MANIFEST

    @property
    def portable(self) -> bool:
        """Whether a registry can serve every layer as it is stored."""
        return all(layer.compression in _SERVABLE for layer in self.layers.values())


def private_image(base: BaseImage) -> ServedImage:
    """The base's layers under a config of our own, as ``private_config`` makes it."""
    return _private(private_config(base.config), base.layers)


def unpacked_image(image: ServedImage, layers: Sequence[BaseLayer]) -> ServedImage:
    """The same private image with ``layers`` uncompressed, where that can be done on the way.

    An engine decompresses on the core that unpacks, and takes longer for it than we do.
    """
    unpacked = [unpacked_layer(layer) for layer in layers]
    return _private(image.config, unpacked) if unpacked != [*layers] else image


def _private(config: bytes, layers: Sequence[BaseLayer]) -> ServedImage:
    config_digest = digest_of_bytes(config)
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": layer_descriptor(OCI_CONFIG, config_digest, len(config)),
            "layers": [_descriptor(layer) for layer in layers],
        }
    )
    return ServedImage(
        name=f"{BASE_COPIES}:{config_digest[7:31]}",
        manifest=manifest,
        manifest_digest=digest_of_bytes(manifest),
        config=config,
        config_digest=config_digest,
        layers={layer.digest: layer for layer in layers},
    )


def result_image(image: BaseImage, name: str) -> ServedImage:
    """The result, under its own manifest; ``name`` is what an archive of it says."""
    if image.manifest is None or image.manifest_digest is None:
        raise ValueError(f"{image.name} has no manifest to be served with")
    return ServedImage(
        name=name,
        manifest=image.manifest,
        manifest_digest=image.manifest_digest,
        config=image.config,
        config_digest=image.config_digest,
        layers={layer.digest: layer for layer in image.layers},
        media_type=image.manifest_media_type,
    )


def claims(base: BaseImage) -> dict[str, int]:
    """Every name under which an engine may ask for a layer of the base, with its size.

    podman and buildah ask by diff_id, docker by the digest that it pulled.  The size under a
    diff_id may be unknown (0): the pushed manifest is never used as it is.
    """
    known: dict[str, int] = dict.fromkeys(base.diff_ids, 0)
    known.update({layer.digest: layer.size for layer in base.layers})
    return known


def _descriptor(layer: BaseLayer) -> JsonObject:
    servable = layer.compression in _SERVABLE
    media_type = layer_media_type(layer.compression) if servable else OCI_LAYER
    return layer_descriptor(media_type, layer.digest, layer.size)
