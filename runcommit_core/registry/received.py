"""What an engine pushes to the loopback registry, hashed as it arrives."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runcommit_core.interface.progress import Meter, Progress, ignore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class Upload:
    """A blob on its way: the file that it grows in and the hash so far."""

    def __init__(self, path: Path, meter: Meter) -> None:
        self.id = path.name
        self.path = path
        self.size = 0
        self._meter = meter
        self._hash = hashlib.sha256()

    def write(self, chunks: Iterable[bytes]) -> None:
        with self.path.open("ab") as file, self._meter:
            for chunk in chunks:
                file.write(chunk)
                self._hash.update(chunk)
                self.size += len(chunk)
                self._meter.add(len(chunk))

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


@dataclass(slots=True)
class Received:
    """Manifests by tag and by digest, blobs by digest, unfinished uploads by id."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, Path] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def start(self, folder: Path, progress: Progress = ignore) -> Upload:
        name = f"blob-{secrets.token_hex(8)}"
        upload = Upload(folder / name, Meter(progress, "from engine", name))
        self.uploads[upload.id] = upload
        return upload

    def finish(self, upload: Upload) -> None:
        del self.uploads[upload.id]
        upload.path.touch()
        self.blobs[upload.digest] = upload.path

    def discard(self, upload: Upload) -> None:
        del self.uploads[upload.id]
        upload.path.unlink(missing_ok=True)
