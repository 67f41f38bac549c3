"""Base images for tests, built from code and the machine's own static busybox."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runcommit_core.engine import process

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

EPOCH = 1_700_000_000
"""Seconds since 1970; no file of a base is younger."""

NAME = "base"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Base:
    """An OCI layout of one image; ``diff_ids`` has the lowest layer first."""

    path: Path
    diff_ids: tuple[str, ...]
    config: Mapping[str, Any]

    @property
    def ref(self) -> str:
        return f"oci:{self.path}:{NAME}"


def write_layout(
    path: Path,
    layers: Sequence[bytes],
    config: Mapping[str, Any] | None = None,
    *,
    compress: Callable[[bytes], bytes] | None = None,
    architecture: str = "",
) -> Base:
    """Make an image of uncompressed layer tars; ``config`` is the ``config`` member of its own.

    ``architecture`` is this machine's unless said otherwise.
    """
    (path / "blobs/sha256").mkdir(parents=True)
    diff_ids = tuple(digest_of(layer) for layer in layers)
    layer_type = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    stored = [compress(layer) if compress else layer for layer in layers]
    machine = os.uname().machine
    image = {
        "created": "2023-11-14T22:13:20Z",
        "architecture": architecture or _MACHINES.get(machine, machine),
        "os": "linux",
        "config": {"Env": [f"PATH={_PATH}"], "Cmd": ["/bin/sh"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "a test's base"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": _blob(path, _json(image), "application/vnd.oci.image.config.v1+json"),
        "layers": [_blob(path, layer, layer_type) for layer in stored],
    }
    entry = _blob(path, _json(manifest), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": NAME}
    (path / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": [entry]}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return Base(path, diff_ids, image)


def fast_gzip(data: bytes) -> bytes:
    """Compress a layer as a base's usually is."""
    return gzip.compress(data, compresslevel=1, mtime=0)


def busybox(path: Path, config: Mapping[str, Any] | None = None) -> Base:
    """A static busybox with a link for each applet; about 2 MB, made in 0.1 s."""
    return write_layout(path, [busybox_layer()], config, compress=fast_gzip)


def busybox_layer() -> bytes:
    """The tar of a file system with busybox, two users, and files to change and delete.

    Raises LookupError where no busybox is installed.
    """
    program = _busybox()
    applets = set(process.output(program, "--list").split()) - {"busybox"}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            tar.addfile(_member(name, mode, tarfile.DIRTYPE))
        _add_file(tar, "bin/busybox", Path(program).read_bytes(), 0o755)
        for applet in sorted(applets):
            link = _member(f"bin/{applet}", 0o777, tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
        _add_file(
            tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
        )
        _add_file(tar, "etc/group", b"root:x:0:\nuser:x:1000:\n")
        _add_file(tar, "etc/motd", b"welcome\n")
        tar.addfile(_member("data", 0o755, tarfile.DIRTYPE))
        for name in ("changed", "deleted", "chmoded", "kept"):
            _add_file(tar, f"data/{name}", name.encode())
        tar.addfile(_member("data/tree", 0o755, tarfile.DIRTYPE))
        _add_file(tar, "data/tree/leaf", b"leaf")
    return buffer.getvalue()


def busybox_program() -> bytes:
    """The program itself; LookupError where it is not installed."""
    return Path(_busybox()).read_bytes()


def _busybox() -> str:
    program = shutil.which("busybox")
    if program is None:
        raise LookupError("these tests need a static busybox: install busybox-static")
    return program


def file_layer(name: str, data: bytes) -> bytes:
    """The tar of a layer with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add_file(tar, name, data)
    return buffer.getvalue()


def _member(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, EPOCH
    return member


def _add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    member = _member(name, mode, tarfile.REGTYPE)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _blob(path: Path, data: bytes, media_type: object) -> dict[str, Any]:
    digest = digest_of(data)
    (path / "blobs" / digest.replace(":", "/")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def digest_of(data: bytes) -> str:
    """The digest of bytes, ``sha256:…``."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
