"""Names of outputs that promise a form: what is written is what the name says, or it is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError
from runcommit_core.oci.references import Kind

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from runcommit_core.oci.compress import LayerCompression

_PROMISED = {
    **dict.fromkeys((".gz", ".tgz"), "gzip"),
    **dict.fromkeys((".zst", ".tzst"), "zstd"),
    **dict.fromkeys((".xz", ".txz", ".bz2", ".tbz", ".tbz2"), ""),
}
_TARS = (".tar", ".tgz", ".tzst", ".txz", ".tbz2", ".gz", ".zst")


def check_layer_name(place: Path | None, compression: LayerCompression) -> None:
    """Raise UsageError for a layer's name that tells of another compression than it gets."""
    promised = _PROMISED.get(place.suffix.lower()) if place else None
    if promised is None or promised == str(compression.kind):
        return
    written = f"{compression.kind}-compressed" if compression.level else "uncompressed"
    tip = f"add --compression {promised}" if promised else "name one that ends in .tar"
    raise UsageError(
        f"cannot write {place}: the layer would be {written}, not what that name says",
        tip=f"{tip}, or choose another name",
    )


def check_image_name(given: str | os.PathLike[str], kind: Kind, path: Path) -> None:
    """Raise UsageError for an image that would become a directory with the name of an archive.

    Who wants that one says ``oci:``, or gives a path object.
    """
    if kind is not Kind.OCI or not isinstance(given, str) or given.startswith(f"{Kind.OCI}:"):
        return
    if path.suffix.lower() in _TARS:
        raise UsageError(
            f"cannot write the image {path}: an OCI layout is a directory, not what that name says",
            tip=f"write --image {Kind.OCI_ARCHIVE}:{given} or {Kind.DOCKER_ARCHIVE}:{given},"
            f" or {Kind.OCI}:{given} for a directory of that name",
        )
