"""Base images to measure with: the same bytes in every run, as OCI layout and docker-archive.

Layers are gzipped in the layout, as those of a pulled image are (or plain, when asked for), and
plain in the archive, as ``docker save`` writes them.  The data is pseudo-random text of words that
compresses as well as an operating system does: pure noise would be decompressed far slower.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from isal import isal_zlib

from runcommit_core.testing.bases import EPOCH, NAME, busybox_layer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Writer = Callable[[tarfile.TarFile], None]

MEGABYTE = 1_000_000
_PIECE = 4096
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Base:
    """One image in two forms; ``tag`` is what an engine calls it that loads the archive."""

    name: str
    layout: Path
    archive: Path

    @property
    def ref(self) -> str:
        return f"oci:{self.layout}:{NAME}"

    @property
    def archive_ref(self) -> str:
        return f"docker-archive:{self.archive}"

    @property
    def tag(self) -> str:
        return f"localhost/benchmark/{self.name}:latest"


def make(name: str, folder: Path, *, gzipped: bool = True) -> Base:
    """Make one of ``KINDS`` in ``folder``, which must not have it yet."""
    base = Base(name, folder / name, folder / f"{name}.tar")
    (base.layout / "blobs/sha256").mkdir(parents=True)
    layers = list(_layer_files(base.layout, KINDS[name].writers))
    config = _json(_config([_sha256(layer) for layer in layers]))
    _write_archive(base, config, layers)
    _write_layout(base, config, layers, gzipped=gzipped)
    return base


@dataclass(frozen=True, slots=True)
class Recipe:
    """What lies on top of busybox (2 MB), one writer per layer."""

    megabytes: int
    writers: list[Writer]


def _data(megabytes: int, layers: int = 4) -> Recipe:
    """As many files as megabytes, 1 MB each."""

    def writer(number: int) -> Writer:
        def write(tar: tarfile.TarFile) -> None:
            source = _Source(number)
            for index in range(number, megabytes, layers):
                _add(tar, f"opt/data/{number}/{index:05}", source.text(MEGABYTE))

        return write

    return Recipe(megabytes, [writer(number) for number in range(layers)])


def _many_files(count: int) -> Recipe:
    """Files of 100 bytes, 100 in each directory; an archive spends a kilobyte on each."""

    def write(tar: tarfile.TarFile) -> None:
        source = _Source(0)
        for index in range(count):
            _add(tar, f"opt/many/{index // 100:03}/{index:05}", source.text(100))

    return Recipe(count // 1000, [write])


class _Source:
    """Data that is the same for the same seed: pieces, in random order, of a text of words."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        words = [self._word() for _ in range(4000)]
        weights = [1 / rank for rank in range(1, len(words) + 1)]
        self._text = b" ".join(self._random.choices(words, weights, k=200_000))

    def _word(self) -> bytes:
        return bytes(self._random.choices(range(256), k=self._random.randint(2, 12)))

    def text(self, size: int) -> bytes:
        last = len(self._text) - _PIECE
        starts = (self._random.randint(0, last) for _ in range(0, size, _PIECE))
        return b"".join(self._text[start : start + _PIECE] for start in starts)[:size]


KINDS = {
    "small": Recipe(0, []),
    "200": _data(200),
    "1200": _data(1200),
    "2400": _data(2400),
    # Beyond about 50 layers buildah 1.28 can mount a container once only, and jobs fail.
    "layers": _data(200, layers=40),
    "many": _many_files(100_000),
}
"""The bases; a number is a size in megabytes, in four layers."""


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = len(data), EPOCH, 0o644
    tar.addfile(member, io.BytesIO(data))


def _layer_files(folder: Path, writers: list[Writer]) -> Iterator[Path]:
    path = folder / "0.tar"
    path.write_bytes(busybox_layer())
    yield path
    for number, write in enumerate(writers, start=1):
        path = folder / f"{number}.tar"
        with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
            write(tar)
        yield path


def _config(diff_ids: list[str]) -> dict[str, Any]:
    machine = os.uname().machine
    return {
        "created": "2023-11-14T22:13:20Z",
        "architecture": _MACHINES.get(machine, machine),
        "os": "linux",
        "config": {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "Cmd": ["/bin/sh"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}" for digest in diff_ids]},
        "history": [{"created_by": "a benchmark's base"} for _ in diff_ids],
    }


def _write_archive(base: Base, config: bytes, layers: list[Path]) -> None:
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = _docker_manifest(base, name, [path.name for path in layers])
    with tarfile.open(base.archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in layers:
            tar.add(path, path.name)
        _add(tar, name, config)
        _add(tar, "manifest.json", manifest)


def _docker_manifest(base: Base, config: str, layers: list[str]) -> bytes:
    return _json([{"Config": config, "RepoTags": [base.tag], "Layers": layers}])


def _write_layout(base: Base, config: bytes, layers: list[Path], *, gzipped: bool) -> None:
    """Write the layout; the plain layers are no longer where they were."""
    layout = base.layout
    oci = "application/vnd.oci.image"
    kind = f"{oci}.layer.v1.tar" + ("+gzip" if gzipped else "")
    stored = [_gzip(path) for path in layers] if gzipped else layers
    config_blob = _blob(layout, config, f"{oci}.config.v1+json")
    blobs = [_moved(layout, path, kind) for path in stored]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": config_blob,
        "layers": blobs,
    }
    entry = _blob(layout, _json(manifest), f"{oci}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    (layout / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    for_docker = _docker_manifest(base, _path(config_blob), [_path(blob) for blob in blobs])
    (layout / "manifest.json").write_bytes(for_docker)


def _path(blob: dict[str, Any]) -> str:
    return f"blobs/{blob['digest'].replace(':', '/')}"


def _blob(layout: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _moved(layout: Path, path: Path, media_type: str) -> dict[str, Any]:
    digest = _sha256(path)
    size = path.rename(layout / "blobs/sha256" / digest).stat().st_size
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _gzip(plain: Path) -> Path:
    packed = plain.with_suffix(".gz")
    compressor = isal_zlib.compressobj(level=1, wbits=31)
    with plain.open("rb") as source, packed.open("wb") as target:
        while chunk := source.read(MEGABYTE):
            target.write(compressor.compress(chunk))
        target.write(compressor.flush())
    plain.unlink()
    return packed


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
