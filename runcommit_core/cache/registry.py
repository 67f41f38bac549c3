"""Results in an OCI registry: a manifest for each, tagged with its key.

The record is the manifest's config, the compressed layer its one layer; see
``docs/reference/cache.md``.  Source: the OCI distribution specification 1.1, "Pulling", "Pushing".
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final

from runcommit_core.cache.store import Stored
from runcommit_core.errors import UsageError
from runcommit_core.oci.mediatypes import OCI_MANIFEST
from runcommit_core.oci.regions import digest_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core.cache.distribution import Repository

RECORD_TYPE: Final = "application/vnd.runcommit.result.v1+json"
LAYER_TYPE: Final = "application/vnd.oci.image.layer.v1.tar+zstd"
LARGEST_RECORD: Final = 64 << 20

_REFERENCE = re.compile(
    r"oci://(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?)"
    r"/(?P<repository>[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)"
)


class RegistryStore:
    """Results in one repository of a registry."""

    def __init__(self, reference: str) -> None:
        found = _REFERENCE.fullmatch(reference)
        if not found:
            raise UsageError(
                f"{reference} names no repository", tip="write it like oci://HOST:PORT/REPOSITORY"
            )
        self.name = reference
        self._host, self._path = found["host"], found["repository"]
        self._opened: Repository | None = None

    def get(self, key: str, folder: Path) -> Stored | None:
        """Download a result into ``folder``; OSError where the registry does not serve it."""
        manifest = self._repository().manifest(key)
        if manifest is None:
            return None
        record, layers = _blobs(manifest, key)
        place = folder / "shared-layer.tar.zst"
        for layer in layers:
            with self._repository().blob(layer) as stream, place.open("wb") as output:
                shutil.copyfileobj(stream, output, 1 << 20)
        with self._repository().blob(record) as stream:
            return Stored(stream.read(LARGEST_RECORD), place if layers else None)

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
        from runcommit_core.cache.distribution import Repository

        if self._opened is None:
            self._opened = Repository(self._host, self._path)
        return self._opened


def _blobs(manifest: bytes, key: str) -> tuple[str, list[str]]:
    """The digests of the record and of the layer, if there is one."""
    try:
        document = json.loads(manifest)
        config, layers = document["config"], [str(each["digest"]) for each in document["layers"]]
        if config["mediaType"] == RECORD_TYPE and len(layers) <= 1:
            return str(config["digest"]), layers
    except (ValueError, KeyError, TypeError):
        pass
    raise OSError(f"what is tagged {key} there is no result of runcommit")
