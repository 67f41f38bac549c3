"""Results in an OCI registry: a manifest for each, tagged with its key.

The record is the manifest's config, the compressed layer its one layer; see
``docs/reference/cache.md``.  Source: the OCI distribution specification 1.1, "Pulling", "Pushing".
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import re
import shutil
from typing import IO, TYPE_CHECKING, Any, Final

from runcommit_core.cache.store import LARGEST_RECORD, Stored
from runcommit_core.cache.untrusted import DamagedEntryError
from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.jsondoc import object_at, objects_at, parse_object
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.oci.regions import digest_of_bytes
from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core.oci.jsondoc import JsonObject
    from runcommit_core.remote.repository import Repository

RECORD_TYPE: Final = "application/vnd.runcommit.result.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+zstd"

_CHUNK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_REFERENCE = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
)


@record
class _Blob:
    digest: str
    size: int


class RegistryStore:
    """Results in one repository of a registry."""

    def __init__(self, reference: str) -> None:
        parts = _REFERENCE.fullmatch(reference)
        if not parts:
            raise UsageError(
                f"{reference} names no repository", tip="write it like oci://HOST:PORT/REPOSITORY"
            )
        self.name = reference
        self._host, self._path = parts["host"], parts["repository"]
        self._opened: Repository | None = None

    def get(self, key: str, folder: Path) -> Stored | None:
        """Download a result into ``folder``; OSError where the registry does not serve it."""
        manifest = self._repository().manifest(key)
        if manifest is None:
            return None
        document, layer = _blobs(manifest, key)
        place = folder / "shared-layer.tar.zst"
        if layer:
            if layer.size > shutil.disk_usage(folder).free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(place))
            with place.open("wb") as output:
                self._download(layer, output)
        said = io.BytesIO()
        self._download(document, said)
        return Stored(said.getvalue(), place if layer else None)

    def _download(self, blob: _Blob, output: IO[bytes]) -> None:
        """Bring a blob here; DamagedEntryError where it is not what the manifest says."""
        from runcommit_core.remote.repository import within

        hasher, left = hashlib.sha256(), blob.size
        with self._repository().blob(blob.digest) as stream, within(self._host):
            # one byte more than there should be is enough to know
            while left >= 0 and (chunk := stream.read(min(left + 1, _CHUNK))):
                left -= len(chunk)
                hasher.update(chunk)
                output.write(chunk)
        if left or f"sha256:{hasher.hexdigest()}" != blob.digest:
            raise DamagedEntryError(f"a blob is not {blob.digest}")

    def put(self, key: str, record: bytes, write_layer: Callable[[Path], None] | None) -> None:
        import tempfile
        from pathlib import Path

        layers = []
        if write_layer:
            with tempfile.TemporaryDirectory(prefix="runcommit-") as folder:
                path = Path(folder) / "layer"
                write_layer(path)
                layers = [self._push_file(path)]
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": RECORD_TYPE,
            "config": self._push_bytes(record),
            "layers": layers,
        }
        self._repository().push_manifest(key, json.dumps(manifest).encode(), OCI_MANIFEST)

    def remove(self, key: str) -> None:
        """Do nothing: the next result of the key takes the damaged one's place."""

    def _push_file(self, path: Path) -> dict[str, Any]:
        with path.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        size = path.stat().st_size
        if not self._repository().has_blob(digest):
            with path.open("rb") as file:
                self._repository().push_blob(digest, file, size)
        return {"mediaType": LAYER_TYPE, "digest": digest, "size": size}

    def _push_bytes(self, data: bytes) -> dict[str, Any]:
        digest = digest_of_bytes(data)
        if not self._repository().has_blob(digest):
            self._repository().push_blob(digest, data, len(data))
        return {"mediaType": RECORD_TYPE, "digest": digest, "size": len(data)}

    def _repository(self) -> Repository:
        from runcommit_core.remote.repository import Repository

        if self._opened is None:
            self._opened = Repository(self._host, self._path)
        return self._opened


def _blobs(manifest: bytes, key: str) -> tuple[_Blob, _Blob | None]:
    """The record and the layer, if there is one."""
    try:
        document = parse_object(manifest, "the manifest")
        config = object_at(document, "config", "the manifest")
        layers = [_blob(each) for each in objects_at(document, "layers", "the manifest")]
        said = _blob(config)
        ours = config.get("mediaType") == RECORD_TYPE and len(layers) <= 1
        if ours and said.size <= LARGEST_RECORD:
            return said, layers[0] if layers else None
    except (ArchiveError, ValueError):
        pass
    raise DamagedEntryError(f"what is tagged {key} there is no result of runcommit")


def _blob(descriptor: JsonObject) -> _Blob:
    digest, size = descriptor.get("digest"), descriptor.get("size")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError("the digest is none")
    if type(size) is not int or not 0 <= size < 1 << 62:
        raise ValueError("the size is none")
    return _Blob(digest, size)
