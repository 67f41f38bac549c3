"""A layer out of an image, as a plain tar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.oci.inspect import last_layer
from runcommit_core.oci.regions import CHUNK, open_layer, verified
from runcommit_core.staging import staging

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.tar.digests import DiffId


def write_last_layer(reference: str, output: Path | None, *, platform: str | None) -> DiffId:
    """Write the topmost layer's tar to ``output``, verified; return its diff_id.

    Raises ArchiveError where the image has no layers or the bytes are not what the config says.
    """
    _, layer = last_layer(reference, platform=platform)
    if output is None:
        return layer.diff_id
    with staging() as staged:
        path = staged.beside(output)
        with verified(open_layer(layer), layer.diff_id) as stream, path.open("wb") as file:
            while chunk := stream.read(CHUNK):
                file.write(chunk)
        staged.publish()
    return layer.diff_id
