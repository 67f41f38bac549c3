"""The private copy of the base, as an image that can be pulled."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runcommit_core.oci.config import private_config
from runcommit_core.oci.model import BaseImage, BaseLayer, Compression, Digest
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_SUFFIX = {Compression.NONE: "", Compression.GZIP: "+gzip", Compression.ZSTD: "+zstd"}


@dataclass(frozen=True, slots=True)
class ServedImage:
    """The image that can be pulled: raw manifest and config, and layers by digest.

    ``name`` is what the engine keeps it under: a pure function of the base's config.
    """

    name: str
    manifest: bytes
    manifest_digest: Digest
    config: bytes
    config_digest: Digest
    layers: Mapping[str, BaseLayer]

    @property
    def portable(self) -> bool:
        """Whether a registry can serve every layer as it is stored."""
        return all(layer.compression in _SUFFIX for layer in self.layers.values())


def private_image(base: BaseImage) -> ServedImage:
    """The base's layers under a config of our own, as ``private_config`` makes it."""
    config = private_config(base.config)
    config_digest = digest_of_bytes(config)
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": config_digest, "size": len(config)},
            "layers": [_descriptor(layer) for layer in base.layers],
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()
    return ServedImage(
        name=f"localhost/runcommit/base:{config_digest[7:31]}",
        manifest=manifest,
        manifest_digest=digest_of_bytes(manifest),
        config=config,
        config_digest=config_digest,
        layers={layer.digest: layer for layer in base.layers},
    )


def claims(base: BaseImage) -> dict[str, int]:
    """Every name under which an engine may ask for a layer of the base, with its size.

    podman and buildah ask by diff_id, docker by the digest that it pulled.  The size under a
    diff_id may be unknown (0): the pushed manifest is never used as it is.
    """
    known: dict[str, int] = dict.fromkeys(base.diff_ids, 0)
    known.update({layer.digest: layer.size for layer in base.layers})
    return known


def _descriptor(layer: BaseLayer) -> dict[str, Any]:
    media_type = _LAYER + _SUFFIX.get(layer.compression, "")
    return {"mediaType": media_type, "digest": layer.digest, "size": layer.size}
