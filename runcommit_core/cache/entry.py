"""What is kept of a result: a record in JSON, and the layer's tar, compressed."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

from runcommit_core.interface.values import Layer, Layers
from runcommit_core.layer.canonical import Change, LayerReport
from runcommit_core.oci.compression import open_decompressed
from runcommit_core.oci.model import Compression
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, verified
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId

if TYPE_CHECKING:
    from pathlib import Path

RECORD_FORM: Final = 1
LEVEL: Final = 1
"""zstd's fastest but one: the disk is slower than what a higher level would save."""

_SHOWN = 300


class DamagedEntryError(Exception):
    """A stored result is not what was stored."""


@record
class Entry:
    """The record of one result; ``layer`` is None where the run changed nothing.

    ``backend`` and ``transport`` are those of the run, ``version`` its engine's as far as it was
    known, ``seconds`` what it took.
    """

    key: str
    layer: LayerReport | None
    warnings: tuple[str, ...] = ()
    backend: str = ""
    version: str = ""
    transport: str = ""
    seconds: float = 0.0
    commands: str = ""
    created: int = 0


def new_entry(key: str, layers: Layers, **facts: Any) -> Entry:
    """The record of what a run gave; see :class:`Entry` for the facts."""
    report = layers.layers[0].report if layers.layers else None
    commands = str(facts.pop("commands", ""))[:_SHOWN]
    created = int(time.time())
    return Entry(key, report, layers.warnings, commands=commands, created=created, **facts)


def pack_record(entry: Entry) -> bytes:
    """The record as bytes, the hash of the rest in the first line."""
    layer = None
    if entry.layer:
        report = entry.layer
        layer = {
            "diff_id": report.diff_id,
            "size": report.size,
            "entries": report.entries,
            "changes": [
                [item.action, os.fsdecode(item.path), item.size] for item in report.changes
            ],
            "warnings": report.warnings,
        }
    said = {field.name: getattr(entry, field.name) for field in dataclasses.fields(entry)}
    body = json.dumps({"form": RECORD_FORM, **said, "layer": layer}).encode()
    return digest_of_bytes(body).encode() + b"\n" + body


def unpack_record(data: bytes, key: str) -> Entry:
    """Read a record; DamagedEntryError where it is not the one of ``key``, whole and known."""
    digest, _, body = data.partition(b"\n")
    if digest != digest_of_bytes(body).encode():
        raise DamagedEntryError("the record's hash is wrong")
    try:
        said = json.loads(body)
        if said.pop("form") != RECORD_FORM or said["key"] != key:
            raise DamagedEntryError("the record is another's")
        layer = said.pop("layer")
        warnings = tuple(said.pop("warnings"))
        return Entry(layer=layer and _report(layer), warnings=warnings, **said)
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedEntryError(f"the record makes no sense: {error}") from error


def _report(said: dict[str, Any]) -> LayerReport:
    return LayerReport(
        DiffId(said["diff_id"]),
        int(said["size"]),
        int(said["entries"]),
        tuple(Change(action, os.fsencode(path), size) for action, path, size in said["changes"]),
        tuple(said["warnings"]),
    )


def compress(tar: Path, place: Path) -> None:
    """Store a layer's tar."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        from backports import zstd
    with tar.open("rb") as source, zstd.open(place, "wb", level=LEVEL) as stored:
        shutil.copyfileobj(source, stored, CHUNK)


def unpack(entry: Entry, stored: Path | None, place: Path) -> Layers:
    """Bring the layer back to ``place``, verified by its diff_id.

    :raises OSError: it cannot be read or written
    :raises ArchiveError: the stored layer is damaged
    """
    report = entry.layer
    if report is None or report.diff_id is None:
        return Layers(warnings=entry.warnings)
    if stored is None:
        raise DamagedEntryError("the layer is missing")
    tar = open_decompressed(stored.open("rb"), Compression.ZSTD, name=str(stored))
    with verified(tar, report.diff_id, report.size) as source, place.open("wb") as output:
        shutil.copyfileobj(source, output, CHUNK)
    return Layers((Layer(place, report.diff_id, report.size, report),), entry.warnings)
