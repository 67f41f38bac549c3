"""The other images of a layout that gets one more, or a new one under a name that it has."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.candidates import REF_NAME
from runcommit_core.oci.descriptors import blob_path, descriptor
from runcommit_core.oci.jsondoc import (
    MAX_JSON,
    canonical_json,
    object_at,
    objects_at,
    parse_object,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runcommit_core.oci.descriptors import Descriptor
    from runcommit_core.oci.jsondoc import JsonObject

_LISTS = ("manifests", "layers")


def keep_others(folder: Path, old: Path, name: str) -> None:
    """Add what the layout ``old`` has under other names than ``name`` to the one in ``folder``.

    Its images come first, in their order, and bring their blobs, as hard links where that can be;
    a blob that ``old`` lacks is lacking after it as well.  Nothing happens where ``old`` is none.

    Raises ArchiveError: the index of ``old`` makes no sense
    """
    if not (old / "index.json").is_file():
        return
    kept = [
        entry
        for entry in objects_at(_document(old / "index.json"), "manifests", f"{old}: index.json")
        if object_at(entry, "annotations", f"{old}: index.json").get(REF_NAME) != name
    ]
    if not kept:
        return
    for blob in _blobs(old, kept):
        _bring(old / blob_path(blob.digest), folder / blob_path(blob.digest))
    index = folder / "index.json"
    ours = _document(index)
    mine = objects_at(ours, "manifests", str(index))
    index.write_bytes(canonical_json(ours | {"manifests": [*kept, *mine]}))


def _blobs(old: Path, entries: list[JsonObject]) -> Iterator[Descriptor]:
    """All that the entries of an index lead to, once each."""
    waiting, seen = [(entry, True) for entry in reversed(entries)], set()
    while waiting:
        entry, may_lead_on = waiting.pop()
        blob = descriptor(entry, f"{old}: a descriptor")
        if blob.digest in seen:
            continue
        seen.add(blob.digest)
        yield blob
        if may_lead_on and (document := _manifest(old / blob_path(blob.digest))):
            waiting += [
                (each, key == "manifests") for key in _LISTS for each in _objects(document, key)
            ]
            waiting += [
                (each, False) for each in [document.get("config")] if isinstance(each, dict)
            ]


def _objects(document: JsonObject, key: str) -> list[JsonObject]:
    return objects_at(document, key, "a manifest")


def _manifest(path: Path) -> JsonObject:
    """A manifest or an index; empty where the layout has it not, or it is none of them."""
    with contextlib.suppress(OSError, ArchiveError):
        return _document(path)
    return {}


def _document(path: Path) -> JsonObject:
    with path.open("rb") as file:
        return parse_object(file.read(MAX_JSON + 1), str(path))


def _bring(source: Path, target: Path) -> None:
    if target.exists() or not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target)
