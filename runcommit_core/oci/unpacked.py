"""A compressed layer as an uncompressed one, without reading it."""

from __future__ import annotations

import contextlib
import dataclasses

from runcommit_core.oci.mediatypes import OCI_LAYER
from runcommit_core.oci.model import BaseLayer, Compression, FileRegion
from runcommit_core.tar.digests import Digest

_LARGEST = 1 << 30
_BLOCK = 512


def unpacked_layer(layer: BaseLayer) -> BaseLayer:
    """The same layer by its uncompressed bytes, whose digest is its diff_id, where it can be.

    It can where a whole file is one gzip stream, which ends with the size of what it holds: that
    of its last member, modulo 4 GiB, so whoever reads must be ready for another size.  Source: RFC
    1952, section 2.3.1, ISIZE.
    """
    region = layer.region
    alone = region is not None and region.wrapped is Compression.NONE and not region.offset
    if not region or not alone or layer.compression is not Compression.GZIP:
        return layer
    size = _claimed(region)
    # what cannot be compressed becomes longer by some bytes in each 32 KiB
    least = max(region.size - region.size // 100, _BLOCK)
    if size % _BLOCK or size < least:
        return layer
    return dataclasses.replace(
        layer,
        digest=Digest(layer.diff_id),
        size=size,
        media_type=OCI_LAYER,
        compression=Compression.NONE,
        region=FileRegion(region.path, 0, size, wrapped=Compression.GZIP),
    )


def _claimed(region: FileRegion) -> int:
    """The size in bytes that the end of the stream claims; 0 where that cannot be true."""
    with contextlib.suppress(OSError), region.path.open("rb") as file:
        end = file.seek(0, 2)
        if end == region.size <= _LARGEST:
            file.seek(end - 4)
            return int.from_bytes(file.read(4), "little")
    return 0
