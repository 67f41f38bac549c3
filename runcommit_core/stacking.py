"""A base with new layers on top, as a base again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.oci.model import BaseImage, BaseLayer, Compression, Digest, FileRegion
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from runcommit_core.model import Layers

_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def on_top(base: BaseImage, layers: Layers, config: bytes) -> BaseImage:
    """The image of ``base`` and ``layers`` under ``config``, for the length of the job."""
    added = [
        BaseLayer(
            diff_id=layer.diff_id,
            digest=Digest(layer.diff_id),
            size=layer.size,
            media_type=_LAYER_TYPE,
            compression=Compression.NONE,
            region=FileRegion(layer.path, 0, layer.size),
        )
        for layer in layers
    ]
    return dataclasses.replace(
        base,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=(*base.layers, *added),
        manifest=None,
        manifest_digest=None,
    )
