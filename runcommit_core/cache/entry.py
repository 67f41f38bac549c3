"""What is kept of a result: a record in JSON, and the layer's tar, compressed."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from runcommit_core.cache.store import LARGEST_RECORD
from runcommit_core.cache.untrusted import DamagedEntryError, open_regular
from runcommit_core.errors import ArchiveError
from runcommit_core.interface.values import Layer, Layers
from runcommit_core.layer.canonical import Change, LayerReport
from runcommit_core.oci.compression import open_decompressed
from runcommit_core.oci.jsondoc import (
    list_at,
    object_at,
    parse_record,
    text_at,
    texts_at,
)
from runcommit_core.oci.model import Compression
from runcommit_core.oci.regions import CHUNK, digest_of_bytes, verified
from runcommit_core.records import record
from runcommit_core.tar.digests import DiffId

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core.oci.jsondoc import JsonObject

RECORD_FORM: Final = 1
LEVEL: Final = 1
"""zstd's fastest but one: the disk is slower than what a higher level would save."""

_SHOWN = 300
_MOST = 1 << 62
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_INCOMPRESSIBLE = 1 << 20


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
    if len(data) > LARGEST_RECORD:
        raise DamagedEntryError(f"the record has more than {LARGEST_RECORD} bytes")
    digest, _, body = data.partition(b"\n")
    if digest != digest_of_bytes(body).encode():
        raise DamagedEntryError("the record's hash is wrong")
    try:
        said = parse_record(body, "the record")
        if said.get("form") != RECORD_FORM or said.get("key") != key:
            raise DamagedEntryError("the record is another's")
        return _entry(said, key)
    except (ArchiveError, ValueError) as error:
        raise DamagedEntryError(f"the record makes no sense: {error}") from error


def _entry(said: JsonObject, key: str) -> Entry:
    where = "the record"
    return Entry(
        key,
        None if said.get("layer") is None else _report(object_at(said, "layer", where)),
        tuple(texts_at(said, "warnings", where)),
        backend=text_at(said, "backend", where),
        version=text_at(said, "version", where),
        transport=text_at(said, "transport", where),
        seconds=_seconds(said.get("seconds")),
        commands=text_at(said, "commands", where),
        created=_count(said.get("created")),
    )


def _report(said: JsonObject) -> LayerReport:
    where = "the layer"
    diff_id = text_at(said, "diff_id", where)
    if not _DIGEST.fullmatch(diff_id):
        raise ValueError("the diff_id is none")
    return LayerReport(
        DiffId(diff_id),
        _count(said.get("size")),
        _count(said.get("entries")),
        tuple(_change(item) for item in list_at(said, "changes", where)),
        tuple(texts_at(said, "warnings", where)),
    )


def _change(said: Any) -> Change:
    match said:
        case [("added" | "changed" | "removed") as action, str(path), size]:
            return Change(action, os.fsencode(path), _count(size))
    raise ValueError("a change is none")


def _count(said: Any) -> int:
    if type(said) is not int or not 0 <= said <= _MOST:
        raise ValueError("a number is none, or out of range")
    return said


def _seconds(said: Any) -> float:
    return float(said) if type(said) is float and 0 <= said <= _MOST else float(_count(said))


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

    Raises OSError: it cannot be read or written
    Raises ArchiveError: the stored layer is damaged
    """
    report = entry.layer
    if report is None or report.diff_id is None:
        return Layers(warnings=entry.warnings)
    if stored is None:
        raise DamagedEntryError("the layer is missing")
    try:
        with (
            _stored_layer(stored, report.size) as file,
            open_decompressed(file, Compression.ZSTD, name=str(stored)) as tar,
            verified(tar, report.diff_id, report.size) as source,
            place.open("wb") as output,
        ):
            _check_room(place, report.size)
            shutil.copyfileobj(source, output, CHUNK)
    except BaseException:
        place.unlink(missing_ok=True)
        raise
    return Layers((Layer(place, report.diff_id, report.size, report),), entry.warnings)


def _stored_layer(stored: Path, size: int) -> BinaryIO:
    """The compressed layer, which is hardly larger than what is in it."""
    file = open_regular(stored)
    if os.fstat(file.fileno()).st_size > size + size // 100 + _INCOMPRESSIBLE:
        file.close()
        raise DamagedEntryError(f"{stored.name} is too large for a layer of {size} bytes")
    return file


def _check_room(place: Path, size: int) -> None:
    """Begin nothing that cannot end: a record can say any size."""
    if size > shutil.disk_usage(place.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
