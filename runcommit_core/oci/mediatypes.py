"""Media types of manifests, configs and layers.

From image-spec's media-types.md and manifest.md, and from docker's image manifest version 2,
schema 2 (https://distribution.github.io/distribution/spec/manifest-v2-2/).
"""

from __future__ import annotations

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.model import Compression

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"

DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"

INDEXES = frozenset({OCI_INDEX, DOCKER_INDEX})
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
IMAGE_CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})

_SUFFIXES = {Compression.NONE: "", Compression.GZIP: "gzip", Compression.ZSTD: "zstd"}


def layer_media_type(compression: Compression, *, manifest_media_type: str = OCI_MANIFEST) -> str:
    """Name a layer so compressed in a manifest of the type given (OCI's or docker's)."""
    suffix = _SUFFIXES.get(compression)
    if suffix is None:
        raise ArchiveError(
            f"no image media type allows a layer compressed with {compression}",
            tip="compress the layer with gzip or zstd, or not at all",
        )
    if manifest_media_type == DOCKER_MANIFEST:
        return DOCKER_LAYER + (f".{suffix}" if suffix else "")
    return OCI_LAYER + (f"+{suffix}" if suffix else "")


def config_media_type(manifest_media_type: str) -> str:
    """Name the config that goes with a manifest of the type given."""
    return DOCKER_CONFIG if manifest_media_type == DOCKER_MANIFEST else OCI_CONFIG
