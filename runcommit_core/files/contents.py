"""The contents of selected files, out of the layers that have them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.regions import open_layer
from runcommit_core.tar.reader import Kind, TarReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from runcommit_core.files.selection import Origin, Selected
    from runcommit_core.oci.model import BaseLayer

_CHUNK = 1 << 20


class Contents:
    """Files by the sha256 of their content, in a folder of the job's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, sha256: bytes) -> Path:
        """Where the content is."""
        return self._folder / sha256.hex()

    def chunks(self, sha256: bytes) -> Iterator[bytes]:
        """Read the content."""
        with self.path(sha256).open("rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                yield chunk


def collect(
    selected: Iterable[Selected],
    layers: Sequence[BaseLayer],
    locate: Callable[[BaseLayer], BaseLayer],
    folder: Path,
) -> Contents:
    """Read each layer that has wanted content once, and no further than to the last of it.

    Contents are known by the hash in the index, so bytes that are not what they should be are
    never taken.

    Raises ArchiveError: a layer does not have what its index says
    """
    contents = Contents(folder)
    wanted: dict[int, set[Origin]] = {}
    for each in selected:
        if each.node.size:
            wanted.setdefault(each.origin.layer, set()).add(each.origin)
    for number in sorted(wanted, reverse=True):
        _read_layer(locate(layers[number]), wanted[number], contents)
    return contents


def _read_layer(layer: BaseLayer, wanted: set[Origin], contents: Contents) -> None:
    paths = {origin.path for origin in wanted}
    missing = {origin.sha256 for origin in wanted}
    with open_layer(layer) as stream:
        reader = TarReader(stream, name=f"layer {layer.diff_id}")
        for entry in reader:
            if entry.path in paths and entry.kind is Kind.REGULAR:
                missing.discard(_keep(reader.chunks(), contents))
                if not missing:
                    return
    lost = min(origin.path for origin in wanted if origin.sha256 in missing)
    raise ArchiveError(
        f"layer {layer.diff_id}: the content of {lost!r} is not what it was when it was indexed"
    )


def _keep(chunks: Iterator[bytes], contents: Contents) -> bytes:
    hasher = hashlib.sha256()
    beside = contents.path(b"-").with_name("content")
    with beside.open("wb") as file:
        for chunk in chunks:
            hasher.update(chunk)
            file.write(chunk)
    sha256 = hasher.digest()
    beside.replace(contents.path(sha256))
    return sha256
