"""Facts of an image for ``runcommit layer last`` and ``runcommit image id``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.base import open_base
from runcommit_core.records import record

if TYPE_CHECKING:
    from runcommit_core.oci.model import BaseImage, BaseLayer
    from runcommit_core.tar.digests import Digest


@record
class ImageId:
    """What engines call an image.

    ``config_digest`` is its id under docker's graph drivers, podman and buildah;
    ``manifest_digest`` its id under docker's containerd store, and None for a docker-archive,
    which has no manifest.
    """

    config_digest: Digest
    manifest_digest: Digest | None


def last_layer(reference: str, *, platform: str | None = None) -> tuple[BaseImage, BaseLayer]:
    """Open an image and return it with its topmost layer; ArchiveError if it has none."""
    image = open_base(reference, platform=platform)
    if not image.layers:
        raise ArchiveError(f"{reference}: the image has no layers")
    return image, image.layers[-1]


def image_id(reference: str, *, platform: str | None = None) -> ImageId:
    """Read what engines call an image."""
    image = open_base(reference, platform=platform)
    return ImageId(image.config_digest, image.manifest_digest)
