"""What an engine pushes to the loopback registry, hashed as it arrives.

What grows in memory or in number has a limit; what an engine leaves unfinished makes way.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from typing import TYPE_CHECKING, Final

from runcommit_core.interface.progress import Meter, Progress, ignore
from runcommit_core.oci.jsondoc import MAX_JSON
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from runcommit_core.tar.digests import Digest

UPLOADS: Final = 32
"""Unfinished ones; an engine has some six at once."""

BLOBS: Final = 4096
MANIFEST_BYTES: Final = MAX_JSON
ALL_MANIFEST_BYTES: Final = 2 * MANIFEST_BYTES
"""Of all manifests together, which are in memory."""

_PER_MANIFEST = 1 << 10


class TooMuchError(Exception):
    """More was pushed than an image has."""


class Upload:
    """A blob on its way: the file that it grows in and the hash so far.

    ``taken`` while somebody writes to it.
    """

    def __init__(self, path: Path, meter: Meter) -> None:
        self.id = path.name
        self.path = path
        self.size = 0
        self.taken = False
        self._meter = meter
        self._hash = hashlib.sha256()

    def write(self, chunks: Iterable[bytes]) -> None:
        """Append; what arrived before an error stays."""
        with self.path.open("ab") as file, self._meter:
            for chunk in chunks:
                file.write(chunk)
                self._hash.update(chunk)
                self.size += len(chunk)
                self._meter.add(len(chunk))

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


class Received:
    """Manifests by tag and by digest, blobs by digest, unfinished uploads by id."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.blobs: dict[str, Path] = {}
        self.uploads: dict[str, Upload] = {}
        self._manifest_bytes = 0
        self._lock = threading.Lock()

    def start(self, folder: Path, progress: Progress = ignore) -> Upload:
        """Begin an upload, in the place of the oldest where there are many.

        Raises TooMuchError: all are being written to, or there are more blobs than an image has
        """
        name = f"blob-{secrets.token_hex(8)}"
        upload = Upload(folder / name, Meter(progress, "from engine", name))
        with self._lock:
            if len(self.blobs) >= BLOBS:
                raise TooMuchError(f"there are {BLOBS} blobs already")
            if len(self.uploads) >= UPLOADS:
                self._forget_one()
            self.uploads[upload.id] = upload
        return upload

    def take(self, name: str) -> Upload | None:
        """The upload of that id for one who writes to it; None if there is none to be had."""
        with self._lock:
            upload = self.uploads.get(name)
            if upload is None or upload.taken:
                return None
            upload.taken = True
            return upload

    def give_back(self, upload: Upload) -> None:
        """Let others write to it."""
        with self._lock:
            upload.taken = False

    def finish(self, upload: Upload) -> None:
        """Keep the blob under its digest."""
        upload.path.touch()
        with self._lock:
            del self.uploads[upload.id]
            self.blobs[upload.digest] = upload.path

    def discard(self, upload: Upload) -> None:
        """Keep nothing of it."""
        with self._lock:
            del self.uploads[upload.id]
        upload.path.unlink(missing_ok=True)

    def keep_manifest(self, name: str, body: bytes) -> Digest:
        """Keep a manifest under a tag and its digest.

        Raises TooMuchError: that would be more than all of an image
        """
        digest = digest_of_bytes(body)
        with self._lock:
            self._manifest_bytes += len(name) + len(body) + _PER_MANIFEST
            if self._manifest_bytes > ALL_MANIFEST_BYTES:
                self._manifest_bytes -= len(name) + len(body) + _PER_MANIFEST
                raise TooMuchError(f"all manifests have more than {ALL_MANIFEST_BYTES} bytes")
            self.manifests[name] = self.manifests[digest] = body
        return digest

    def _forget_one(self) -> None:
        oldest = next((each for each in self.uploads.values() if not each.taken), None)
        if oldest is None:
            raise TooMuchError(f"{UPLOADS} uploads are being written to")
        del self.uploads[oldest.id]
        oldest.path.unlink(missing_ok=True)
