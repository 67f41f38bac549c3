"""Images of every form, built in code: what each tool would write, and what none should.

An image is first a mapping of file names to bytes (or to a ``Symlink``/``Hardlink``), so a test
can damage any part of it before ``write_directory`` or ``write_archive`` puts it on disk.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(frozen=True)
class Symlink:
    target: str


@dataclass(frozen=True)
class Hardlink:
    target: str


Files = dict[str, bytes | Symlink | Hardlink]


@dataclass(frozen=True)
class Image:
    """Config and layers, lowest first; ``stored`` are the layers as an archive holds them."""

    config: bytes
    layers: tuple[bytes, ...]
    stored: tuple[bytes, ...]
    compression: str

    @property
    def diff_ids(self) -> tuple[str, ...]:
        return tuple(digest(layer) for layer in self.layers)


def layer(files: Mapping[str, bytes]) -> bytes:
    """A tar of regular files."""
    return tar_of(dict(files))


def image(
    *layers: bytes,
    compression: str = "none",
    settings: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Image:
    """``settings`` is the ``config`` member of the config; a field given as None is left out."""
    document: dict[str, Any] = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2023-11-14T22:13:20.5Z",
        "config": {"Env": ["PATH=/bin"], **(settings or {})},
        "rootfs": {"type": "layers", "diff_ids": [digest(one) for one in layers]},
        "history": [{"created_by": f"layer {place}"} for place, _ in enumerate(layers)],
        **fields,
    }
    config = dumps({key: value for key, value in document.items() if value is not None})
    stored = tuple(compress(one, compression) for one in layers)
    return Image(config, tuple(layers), stored, compression)


# -- OCI ---------------------------------------------------------------------------------------


def oci_files(*images: Image, names: Sequence[str] = (), docker_types: bool = False) -> Files:
    """An OCI layout with one entry per image in ``index.json``, the first ones named."""
    files: Files = {}
    entries = []
    for place, one in enumerate(images):
        entry = add_manifest(files, one, docker_types=docker_types)
        if place < len(names):
            entry["annotations"] = {REF_NAME: names[place]}
        entries.append(entry)
    return with_index(files, entries)


def with_index(files: Files, entries: Sequence[Mapping[str, Any]]) -> Files:
    """Make blobs a layout whose ``index.json`` has these entries."""
    files["index.json"] = dumps({"schemaVersion": 2, "manifests": list(entries)})
    files["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    return files


def add_manifest(
    files: Files, one: Image, *, docker_types: bool = False, **fields: Any
) -> dict[str, Any]:
    """Add config, layers and manifest (``fields`` override its own). Returns its descriptor."""
    suffix = "" if one.compression == "none" else ("." if docker_types else "+") + one.compression
    layer_type = (DOCKER_LAYER if docker_types else OCI_LAYER) + suffix
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker_types else OCI_MANIFEST,
        "config": add_blob(files, one.config, DOCKER_CONFIG if docker_types else OCI_CONFIG),
        "layers": [add_blob(files, stored, layer_type) for stored in one.stored],
        **fields,
    }
    kept = {key: value for key, value in manifest.items() if value is not None}
    return add_blob(files, dumps(kept), DOCKER_MANIFEST if docker_types else OCI_MANIFEST)


def add_index(files: Files, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Add an index as a blob. Returns its descriptor."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return add_blob(files, dumps(document), OCI_INDEX)


def add_blob(files: Files, data: bytes, media_type: str) -> dict[str, Any]:
    files[blob(data)] = data
    return {"mediaType": media_type, "digest": digest(data), "size": len(data)}


# -- docker-archive ----------------------------------------------------------------------------


def legacy_files(one: Image, *, tags: Sequence[str] | None = ("base:latest",)) -> Files:
    """As docker up to 24 saves: a folder per layer, a repeated layer as a symlink to the first."""
    files: Files = {}
    names: list[str] = []
    first: dict[str, str] = {}
    for place, (diff_id, plain) in enumerate(zip(one.diff_ids, one.layers, strict=True)):
        folder = digest(f"{place} {diff_id}".encode()).removeprefix("sha256:")
        names.append(f"{folder}/layer.tar")
        files[f"{folder}/VERSION"] = b"1.0"
        files[f"{folder}/json"] = dumps({"id": folder})
        files[names[-1]] = Symlink(f"../{first[diff_id]}/layer.tar") if diff_id in first else plain
        first.setdefault(diff_id, folder)
    config = f"{hex_of(one.config)}.json"
    files[config] = one.config
    files["manifest.json"] = manifest_json(entry(config, names, tags))
    files["repositories"] = b"{}"
    return files


def hybrid_files(one: Image, *, tags: Sequence[str] | None = ("base:latest",)) -> Files:
    """As docker from 25 on saves: a layout and ``manifest.json``, blobs in common."""
    files = oci_files(one, names=("latest",))
    names = [blob(stored) for stored in one.stored]
    files["manifest.json"] = manifest_json(entry(blob(one.config), names, tags))
    return files


def podman_files(one: Image, *, tags: Sequence[str] | None = ("base:latest",)) -> Files:
    """As podman and skopeo save: ``<diff_id>.tar``, with the legacy names as symlinks."""
    files: Files = {f"{hex_of(plain)}.tar": plain for plain in one.layers}
    config = f"{hex_of(one.config)}.json"
    files[config] = one.config
    for plain in one.layers:
        files[f"{hex_of(plain + b'v1')}/layer.tar"] = Symlink(f"../{hex_of(plain)}.tar")
    names = [f"{hex_of(plain)}.tar" for plain in one.layers]
    files["manifest.json"] = manifest_json(entry(config, names, tags))
    return files


def oci_load_files(one: Image) -> Files:
    """As rules_oci's ``oci_load``: blobs, layers called ``.tar.gz`` whatever they hold."""
    names = [f"{blob(stored)}.tar.gz" for stored in one.stored]
    files: Files = dict(zip(names, one.stored, strict=True))
    files[blob(one.config)] = one.config
    files["manifest.json"] = manifest_json(entry(blob(one.config), names, ["base:latest"]))
    return files


def named_files(one: Image, *, tags: Sequence[str] | None = ("base:latest",)) -> Files:
    """As Bazel's rules_docker or crane: names that say nothing of the stored bytes."""
    names = [f"{place:03}.tar.gz" for place, _ in enumerate(one.stored)]
    files: Files = dict(zip(names, one.stored, strict=True))
    files[digest(one.config)] = one.config
    files["manifest.json"] = manifest_json(entry(digest(one.config), names, tags))
    return files


def entry(config: str, layers: Sequence[str], tags: Sequence[str] | None) -> dict[str, Any]:
    names = None if tags is None else list(tags)
    return {"Config": config, "RepoTags": names, "Layers": list(layers)}


def manifest_json(*entries: Mapping[str, Any] | None) -> bytes:
    return dumps(list(entries))


# -- on disk -----------------------------------------------------------------------------------


def write_directory(path: Path, files: Files) -> Path:
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            target.write_bytes(content)
        elif isinstance(content, Symlink):
            target.symlink_to(content.target)
        else:
            target.hardlink_to(path / content.target)
    return path


def write_archive(path: Path, files: Files, *, wrapped: str = "none", prefix: str = "") -> Path:
    path.write_bytes(compress(tar_of(files, prefix=prefix), wrapped))
    return path


def tar_of(files: Mapping[str, bytes | Symlink | Hardlink], *, prefix: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(prefix + name)
            if isinstance(content, bytes):
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                continue
            member.type = tarfile.SYMTYPE if isinstance(content, Symlink) else tarfile.LNKTYPE
            member.linkname = content.target
            tar.addfile(member)
    return buffer.getvalue()


def compress(data: bytes, compression: str) -> bytes:
    """Bytes that are the same every time."""
    if compression == "gzip":
        return gzip.compress(data, 1, mtime=0)
    if compression == "zstd":
        return zstd.compress(data)
    if compression == "xz":
        return lzma.compress(data)
    if compression == "bzip2":
        return bz2.compress(data)
    return data


def digest(data: bytes) -> str:
    return f"sha256:{hex_of(data)}"


def hex_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def blob(data: bytes) -> str:
    return f"blobs/sha256/{hex_of(data)}"


def dumps(document: Any) -> bytes:
    return json.dumps(document).encode()


def blob_of(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
