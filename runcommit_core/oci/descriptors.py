"""Descriptors and digests, checked (image-spec descriptor.md)."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import field
from typing import Any

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.jsondoc import JsonObject, object_at, text_at
from runcommit_core.records import record
from runcommit_core.tar.digests import Digest

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_ALGORITHM = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+")


@record
class Descriptor:
    """What a manifest or an index says of one blob; ``raw`` is the JSON object it was read from."""

    media_type: str
    digest: Digest
    size: int
    data: bytes | None
    raw: JsonObject = field(repr=False)

    @property
    def annotations(self) -> JsonObject:
        """The annotations, none where the descriptor has none."""
        return object_at(self.raw, "annotations", self.digest)


def checked_digest(text: Any, where: str) -> Digest:
    """Return ``text`` if it is a sha256 digest; ArchiveError says what else it is."""
    if isinstance(text, str) and _SHA256.fullmatch(text):
        return Digest(text)
    if isinstance(text, str) and _ALGORITHM.fullmatch(text) and not text.startswith("sha256:"):
        raise ArchiveError(f"{where}: {text.split(':')[0]} is not supported, only sha256 is")
    raise ArchiveError(f"{where}: {text!r} is not sha256: and 64 lower-case hexadecimal digits")


def descriptor(document: JsonObject, where: str) -> Descriptor:
    """Read one descriptor."""
    size = document.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ArchiveError(f"{where}: the descriptor's size is {size!r}, which is no byte count")
    return Descriptor(
        media_type=text_at(document, "mediaType", where),
        digest=checked_digest(document.get("digest"), f"{where}: digest"),
        size=size,
        data=_embedded(text_at(document, "data", where), where),
        raw=document,
    )


def blob_path(digest: Digest) -> str:
    """Where a layout keeps the blob, relative to its root (image-layout.md)."""
    return "blobs/" + digest.replace(":", "/", 1)


def _embedded(text: str, where: str) -> bytes | None:
    if not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ArchiveError(f"{where}: the embedded data is not base64: {error}") from error
