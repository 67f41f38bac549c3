"""Canonical layers in tests: from member lists to bytes, and back without the product's reader."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, NamedTuple

from runcommit_core.index.index import BaseIndex
from runcommit_core.layer.canonical import LayerReport, Policy, canonicalise
from runcommit_core.layer.changes import TarChanges
from runcommit_core.layer.validate import validate_form
from tests.tars import Member, diff_id, tar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EPOCH = 1_700_000_000


class Listed(NamedTuple):
    name: str
    type: str
    mode: int
    mtime: int
    link: str


def canonical(
    cache: Path,
    base: Sequence[bytes],
    raw: Sequence[bytes],
    policy: Policy | None = None,
) -> tuple[bytes, LayerReport]:
    """Canonicalise raw layer tars on base layer tars; what is written is valid."""
    index = BaseIndex(cache)
    for layer in base:
        index.add(diff_id(layer), io.BytesIO(layer))
    output = io.BytesIO()
    with index.tree([diff_id(layer) for layer in base]) as tree:
        changes = [TarChanges(lambda data=data: io.BytesIO(data), name="raw") for data in raw]
        report = canonicalise(tree, changes, policy or Policy(EPOCH), output)
        for layer in changes:
            layer.close()
    written = output.getvalue()
    assert report.size == len(written)
    if report.diff_id is None:
        assert not written
    else:
        assert report.diff_id == diff_id(written)
        validate_form(io.BytesIO(written))
    return written, report


def listing(data: bytes) -> list[Listed]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [
            Listed(
                info.name + "/" * info.isdir(),
                info.type.decode(),
                info.mode,
                int(info.mtime),
                info.linkname,
            )
            for info in archive
        ]


def names(data: bytes) -> list[str]:
    return [listed.name for listed in listing(data)] if data else []


def changed(cache: Path, base: Sequence[Member], *raw: Sequence[Member], **policy: object):
    """Name the entries of the canonical layer of lists of members."""
    written, _ = canonical(
        cache, [tar(*base)], [tar(*members) for members in raw], Policy(EPOCH, **policy)
    )
    return names(written)
