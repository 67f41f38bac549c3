"""Base images to measure with: the same bytes in every run, as OCI layout and docker-archive.

Layers are gzipped in the layout, as those of a pulled image are, and plain in the archive, as
``docker save`` writes them.  The data is pseudo-random, so that no compressor helps anybody.
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
LAYERS = 4
"""Into how many layers the data of a large base is split."""

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
    def tag(self) -> str:
        return f"localhost/benchmark/{self.name}:latest"


def make(name: str, folder: Path) -> Base:
    """Make one of ``KINDS`` in ``folder``, which must not have it yet."""
    base = Base(name, folder / name, folder / f"{name}.tar")
    (base.layout / "blobs/sha256").mkdir(parents=True)
    layers = list(_layer_files(base.layout, KINDS[name]()))
    config = _json(_config([_sha256(layer) for layer in layers]))
    _write_archive(base, config, layers)
    _write_layout(base, config, layers)
    return base


def _data(megabytes: int) -> list[Writer]:
    """As many files as megabytes, 1 MB each."""

    def writer(number: int) -> Writer:
        source = random.Random(number)

        def write(tar: tarfile.TarFile) -> None:
            for index in range(number, megabytes, LAYERS):
                _add(tar, f"opt/data/{number}/{index:05}", source.randbytes(MEGABYTE))

        return write

    return [writer(number) for number in range(LAYERS)]


def _many_files() -> list[Writer]:
    """100,000 files of 100 bytes in 1,000 directories."""

    def write(tar: tarfile.TarFile) -> None:
        source = random.Random(0)
        for index in range(100_000):
            _add(tar, f"opt/many/{index // 100:03}/{index:05}", source.randbytes(100))

    return [write]


KINDS: dict[str, Callable[[], list[Writer]]] = {
    "small": list,
    "200": lambda: _data(200),
    "1200": lambda: _data(1200),
    "2400": lambda: _data(2400),
    "many": _many_files,
}
"""What lies on top of busybox (2 MB), one writer per layer; a number is a size in megabytes."""


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
    manifest = [{"Config": name, "RepoTags": [base.tag], "Layers": [path.name for path in layers]}]
    with tarfile.open(base.archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in layers:
            tar.add(path, path.name)
        _add(tar, name, config)
        _add(tar, "manifest.json", _json(manifest))


def _write_layout(base: Base, config: bytes, layers: list[Path]) -> None:
    """Write the layout; the plain layers are gone afterwards."""
    oci = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{oci}.manifest.v1+json",
        "config": _blob(base.layout, config, f"{oci}.config.v1+json"),
        "layers": [_gzipped(base.layout, path, f"{oci}.layer.v1.tar+gzip") for path in layers],
    }
    entry = _blob(base.layout, _json(manifest), f"{oci}.manifest.v1+json")
    entry["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    (base.layout / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (base.layout / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def _blob(layout: Path, data: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / digest).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}


def _gzipped(layout: Path, plain: Path, media_type: str) -> dict[str, Any]:
    packed = plain.with_suffix(".gz")
    compressor = isal_zlib.compressobj(level=0, wbits=31)
    with plain.open("rb") as source, packed.open("wb") as target:
        while chunk := source.read(MEGABYTE):
            target.write(compressor.compress(chunk))
        target.write(compressor.flush())
    plain.unlink()
    digest = _sha256(packed)
    stored = packed.rename(layout / "blobs/sha256" / digest)
    size = stored.stat().st_size
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
