"""Images as an engine hands them over: what was pushed, or an archive stream.

Only layers that the base does not have are kept, as plain tars in the job's folder; the rest of
an archive passes by.  Sources: the docker-archive forms of docker up to 24, docker from 25 on,
podman and skopeo.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import posixpath
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import open_decompressed, sniff
from runcommit_core.oci.model import Compression
from runcommit_core.tar.digests import DiffId
from runcommit_core.tar.reader import TarReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_CHUNK = 1 << 20
_JSON_LIMIT = 20 << 20
_EPOCH = "1970-01-01T00:00:00Z"
_LINK_DEPTH = 8

T = TypeVar("T")

Spooled = tuple[bytes, tuple[DiffId, ...], dict[DiffId, Path]]
"""A config, all its diff_ids, and the plain tars of those that the base lacks."""


def from_push(
    manifests: Mapping[str, bytes],
    blobs: Mapping[str, Path],
    tag: str,
    known: Collection[str],
) -> Spooled:
    """The image that was pushed under ``tag``; ``known`` are diff_ids that need no bytes."""
    try:
        manifest = _pushed_manifest(manifests, tag)
        config = _pushed_config(blobs[manifest["config"]["digest"]])
        digests = [layer["digest"] for layer in manifest["layers"]]
    except KeyError as error:
        raise ArchiveError(f"the engine pushed an image without {error}") from None
    except TypeError:
        raise ArchiveError("the engine pushed a manifest that is none") from None
    diff_ids = _diff_ids(config, "the pushed config")
    if len(digests) != len(diff_ids):
        raise ArchiveError(
            f"the engine pushed {len(digests)} layers with a config of {len(diff_ids)} diff_ids"
        )
    new = {
        diff_id: blobs[digest]
        for digest, diff_id in zip(digests, diff_ids, strict=True)
        if diff_id not in known and digest in blobs
    }
    return config, diff_ids, {diff_id: plain(path, diff_id) for diff_id, path in new.items()}


def _pushed_config(path: Path) -> bytes:
    with path.open("rb") as file:
        config = file.read(_JSON_LIMIT + 1)
    if len(config) > _JSON_LIMIT:
        raise ArchiveError(f"the engine pushed a config of more than {_JSON_LIMIT} bytes")
    return config


def from_archive(
    save: Callable[[], contextlib.AbstractContextManager[BinaryIO]],
    folder: Path,
    *,
    known_blobs: Collection[str],
    known: Collection[str],
) -> Spooled:
    """The image in a docker-archive stream.

    ``known_blobs`` are digests whose members need not be kept.  Docker before 25 names layers so
    that only the end of the stream tells which is which; where the guess made on the way was
    wrong, ``save`` is called once more.
    """
    with save() as stream:
        members = _spool(stream, folder, lambda name, hints: _worth(name, hints, known_blobs))
    config, diff_ids, names = _read_manifest(members)
    wanted = {
        diff_id: members.resolve(name)
        for diff_id, name in zip(diff_ids, names, strict=True)
        if diff_id not in known
    }
    missing = {name for name in wanted.values() if name not in members.files}
    if missing:
        with save() as stream:
            members.files.update(_spool(stream, folder, lambda name, _: name in missing).files)
    try:
        tars = {diff_id: plain(members.files[name], diff_id) for diff_id, name in wanted.items()}
    except KeyError as error:
        raise ArchiveError(
            f"the saved archive names a layer {error} that it does not hold"
        ) from None
    for path in set(members.files.values()) - set(tars.values()):
        path.unlink(missing_ok=True)
    return config, diff_ids, tars


def plain(path: Path, diff_id: DiffId) -> Path:
    """The plain tar of a stored layer, verified against its diff_id; removes the stored one."""
    with path.open("rb") as stored:
        compression = sniff(stored.read(16))
        stored.seek(0)
        target = path if compression is Compression.NONE else path.with_name(path.name + ".tar")
        source = stored if target is path else open_decompressed(stored, compression)
        found = _hash_and_copy(source, None if target is path else target)
    if found != diff_id:
        raise ArchiveError(f"the engine's layer has the diff_id {found}, its config says {diff_id}")
    if target is not path:
        path.unlink()
    return target


def _hash_and_copy(source: BinaryIO, target: Path | None) -> str:
    digest = hashlib.sha256()
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(target.open("wb")) if target else None
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            if output:
                output.write(chunk)
    return f"sha256:{digest.hexdigest()}"


class _Members:
    """What was kept of an archive: files on disk, small documents, links by name."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        self.documents: dict[str, bytes] = {}
        self.links: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        for _ in range(_LINK_DEPTH):
            if name not in self.links:
                return name
            name = self.links[name]
        raise ArchiveError(f"the saved archive has a loop of links at {name}")

    def document(self, name: str) -> bytes:
        name = self.resolve(name)
        if name in self.documents:
            return self.documents[name]
        if name in self.files:
            return self.files[name].read_bytes()
        raise ArchiveError(f"the saved archive has no {name}")


def _spool(
    stream: BinaryIO, folder: Path, keep: Callable[[str, Mapping[str, bytes]], bool]
) -> _Members:
    members = _Members()
    reader = TarReader(stream, name="the engine's archive")
    for entry in reader:
        name = entry.path.decode(errors="surrogateescape")
        if entry.kind == "2":
            target = posixpath.join(
                posixpath.dirname(name), entry.link.decode(errors="surrogateescape")
            )
            members.links[name] = posixpath.normpath(target)
        elif entry.kind == "1":
            members.links[name] = entry.link.decode(errors="surrogateescape")
        elif entry.kind == "0" and _is_document(name) and entry.size <= _JSON_LIMIT:
            members.documents[name] = b"".join(reader.chunks())
        elif entry.kind == "0" and keep(name, members.documents):
            members.files[name] = _keep(reader.chunks(), folder / f"saved-{secrets.token_hex(8)}")
    return members


def _keep(chunks: Iterator[bytes], path: Path) -> Path:
    with path.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
    return path


def _is_document(name: str) -> bool:
    return name.endswith((".json", "/json"))


def _worth(name: str, documents: Mapping[str, bytes], known_blobs: Collection[str]) -> bool:
    folder, _, base = name.rpartition("/")
    if folder == "blobs/sha256":
        return f"sha256:{base}" not in known_blobs
    if base == "layer.tar":
        # docker before 25 writes the full V1 config for the top layer only, just before its tar
        return b"%s" % _EPOCH.encode() not in documents.get(f"{folder}/json", b"")
    return f"sha256:{base.removesuffix('.tar')}" not in known_blobs and base.endswith(".tar")


def _read_manifest(members: _Members) -> tuple[bytes, tuple[DiffId, ...], list[str]]:
    items = _parsed(members.document("manifest.json"), list, "the saved manifest.json")
    images = [item for item in items if item]
    if len(images) != 1:
        raise ArchiveError(f"the engine saved {len(images)} images, expected one")
    try:
        config, names = members.document(images[0]["Config"]), list(images[0]["Layers"] or ())
    except (KeyError, TypeError):
        raise ArchiveError("the saved manifest.json names no config or no layers") from None
    diff_ids = _diff_ids(config, "the saved config")
    if len(diff_ids) != len(names):
        raise ArchiveError(
            f"the engine saved {len(names)} layers with a config of {len(diff_ids)} diff_ids"
        )
    return config, diff_ids, names


def _pushed_manifest(manifests: Mapping[str, bytes], tag: str) -> dict[str, Any]:
    if tag not in manifests:
        raise ArchiveError("the engine said that it pushed the image, but sent no manifest")
    manifest = _parsed(manifests[tag], dict, "the pushed manifest")
    if "manifests" not in manifest:
        return manifest
    received = [item["digest"] for item in manifest["manifests"] if item["digest"] in manifests]
    images = [_parsed(manifests[digest], dict, "the pushed manifest") for digest in received]
    images = [image for image in images if "layers" in image]
    if len(images) != 1:
        raise ArchiveError(f"the engine pushed an index of {len(images)} images, expected one")
    return images[0]


def _parsed(data: bytes, kind: type[T], what: str) -> T:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ArchiveError(f"{what} is no JSON: {error}") from None
    if not isinstance(document, kind):
        raise ArchiveError(f"{what} is no JSON {'object' if kind is dict else 'array'}")
    return document


def _diff_ids(config: bytes, what: str) -> tuple[DiffId, ...]:
    try:
        return tuple(DiffId(item) for item in json.loads(config)["rootfs"]["diff_ids"] or ())
    except (KeyError, TypeError, ValueError):
        raise ArchiveError(f"{what} is not an image config") from None
