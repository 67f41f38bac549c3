"""Images as an engine hands them over: what was pushed, or an archive stream.

Only layers that the base does not have are kept, as plain tars in the job's folder; the rest of
an archive passes by.  Sources: the docker-archive forms of docker up to 24, docker from 25 on,
podman and skopeo.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.compression import open_decompressed, sniff
from runcommit_core.oci.jsondoc import (
    as_object,
    object_at,
    objects_at,
    parse_json,
    parse_object,
    text_at,
    texts_at,
)
from runcommit_core.oci.model import Compression
from runcommit_core.tar.digests import DiffId
from runcommit_core.tar.reader import TarReader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

_CHUNK = 1 << 20
_JSON_LIMIT = 20 << 20
_EPOCH = "1970-01-01T00:00:00Z"
_LINK_DEPTH = 8

_PUSHED = "the pushed manifest"

Spooled = tuple[bytes, tuple[DiffId, ...], dict[DiffId, Path]]
"""A config, all its diff_ids, and the plain tars of those that the base lacks."""


def from_push(
    manifests: Mapping[str, bytes],
    blobs: Mapping[str, Path],
    tag: str,
    known: Collection[str],
) -> Spooled:
    """The image that was pushed under ``tag``; ``known`` are diff_ids that need no bytes."""
    manifest = _pushed_manifest(manifests, tag)
    config_digest = text_at(object_at(manifest, "config", _PUSHED), "digest", _PUSHED)
    if config_digest not in blobs:
        raise ArchiveError(f"the engine pushed an image without its config {config_digest}")
    config = _pushed_config(blobs[config_digest])
    digests = [
        text_at(layer, "digest", _PUSHED) for layer in objects_at(manifest, "layers", _PUSHED)
    ]
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
        hashed = _hash_and_copy(source, None if target is path else target)
    if hashed != diff_id:
        raise ArchiveError(
            f"the engine's layer has the diff_id {hashed}, its config says {diff_id}"
        )
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
    where = "the saved manifest.json"
    document = parse_json(members.document("manifest.json"), where)
    if not isinstance(document, list):
        raise ArchiveError(f"{where}: must be an array of images")
    images = [item for item in document if item]
    if len(images) != 1:
        raise ArchiveError(f"the engine saved {len(images)} images, expected one")
    image = as_object(images[0], where)
    if not (image.get("Config") and "Layers" in image):
        raise ArchiveError(f"{where} names no config or no layers")
    names = texts_at(image, "Layers", where)
    config = members.document(text_at(image, "Config", where))
    diff_ids = _diff_ids(config, "the saved config")
    if len(diff_ids) != len(names):
        raise ArchiveError(
            f"the engine saved {len(names)} layers with a config of {len(diff_ids)} diff_ids"
        )
    return config, diff_ids, names


def _pushed_manifest(manifests: Mapping[str, bytes], tag: str) -> dict[str, Any]:
    if tag not in manifests:
        raise ArchiveError("the engine said that it pushed the image, but sent no manifest")
    manifest = parse_object(manifests[tag], _PUSHED)
    if "manifests" not in manifest:
        return manifest
    digests = [
        text_at(item, "digest", _PUSHED) for item in objects_at(manifest, "manifests", _PUSHED)
    ]
    received = [manifests[digest] for digest in digests if digest in manifests]
    images = [parse_object(manifest, _PUSHED) for manifest in received]
    images = [image for image in images if "layers" in image]
    if len(images) != 1:
        raise ArchiveError(f"the engine pushed an index of {len(images)} images, expected one")
    return images[0]


def _diff_ids(config: bytes, what: str) -> tuple[DiffId, ...]:
    where = f"{what} is not an image config"
    rootfs = object_at(parse_object(config, where), "rootfs", where)
    if "diff_ids" not in rootfs:
        raise ArchiveError(f"{where}: it has no diff_ids")
    return tuple(map(DiffId, texts_at(rootfs, "diff_ids", where)))
