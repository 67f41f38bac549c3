"""Images as data: where bytes are, what they are called, what an image is made of."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from runcommit_core.records import record

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.tar.digests import DiffId, Digest


class Compression(enum.StrEnum):
    """How stored bytes are compressed, told by their first bytes and never by a name or a type."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    XZ = "xz"
    BZIP2 = "bzip2"


@record
class FileRegion:
    """``size`` bytes of the file ``path`` from ``offset`` on.

    ``wrapped`` is how the file as a whole is compressed (a ``.tar.gz`` archive); offset and size
    then count in its uncompressed form, and reading must decompress all that precedes.
    """

    path: Path
    offset: int
    size: int
    wrapped: Compression = Compression.NONE


@record
class BaseLayer:
    """One layer of a base image, in the order of its config (lowest first).

    ``region`` is None where only the engine has the bytes (``engine:REF``).
    """

    diff_id: DiffId
    digest: Digest
    size: int
    media_type: str
    compression: Compression
    region: FileRegion | None


@record
class BaseImage:
    """A base image, read strictly: nothing in it contradicts the specification.

    ``manifest`` is the raw manifest that lists these very layers (None for a docker-archive,
    which has none); ``config`` is the raw image config.
    """

    name: str
    config: bytes
    config_digest: Digest
    layers: tuple[BaseLayer, ...]
    manifest: bytes | None
    manifest_media_type: str
    manifest_digest: Digest | None

    @property
    def diff_ids(self) -> tuple[DiffId, ...]:
        """The diff_ids of the layers, lowest first."""
        return tuple(layer.diff_id for layer in self.layers)
