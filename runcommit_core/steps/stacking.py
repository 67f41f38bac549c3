"""A base with new layers on top, as a base again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from runcommit_core.oci.config import result_config, with_diff_ids
from runcommit_core.oci.edits import DEFAULT_COMMENT
from runcommit_core.oci.mediatypes import OCI_LAYER
from runcommit_core.oci.model import BaseImage, BaseLayer, Compression, FileRegion
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.tar.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core.interface.values import Layers
    from runcommit_core.tar.digests import DiffId


def plain_layer(diff_id: DiffId, region: FileRegion | None) -> BaseLayer:
    """A layer stored as its plain tar; its size is unknown (0) while its bytes are out of reach."""
    return BaseLayer(
        diff_id=diff_id,
        digest=Digest(diff_id),
        size=region.size if region else 0,
        media_type=OCI_LAYER,
        compression=Compression.NONE,
        region=region,
    )


def on_top(base: BaseImage, layers: Layers, config: bytes) -> BaseImage:
    """The image of ``base`` and ``layers`` under ``config``, for the length of the job."""
    added = [plain_layer(layer.diff_id, FileRegion(layer.path, 0, layer.size)) for layer in layers]
    return _of_layers(base, (*base.layers, *added), config)


def on_other_layers(base: BaseImage, layers: Sequence[BaseLayer]) -> BaseImage:
    """An image with the settings of ``base`` that is made of ``layers``."""
    diff_ids = [layer.diff_id for layer in layers]
    return _of_layers(base, tuple(layers), with_diff_ids(base.config, diff_ids))


def _of_layers(base: BaseImage, layers: tuple[BaseLayer, ...], config: bytes) -> BaseImage:
    return dataclasses.replace(
        base,
        config=config,
        config_digest=digest_of_bytes(config),
        layers=layers,
        manifest=None,
        manifest_digest=None,
    )


def extended_config(config: bytes, layers: Layers, epoch: int, history: str) -> bytes:
    """An image's config plus what a run added: the base's own, but for what is new."""
    return result_config(
        config,
        layers=[layer.diff_id for layer in layers],
        created=epoch,
        created_by=history,
        comment=DEFAULT_COMMENT,
    )
