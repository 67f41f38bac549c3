"""Base images as OCI layouts, built from code and from what Debian ships."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

EPOCH = 1_700_000_000
"""Seconds since 1970; no file of a base is younger."""

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NAME = "base"


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
) -> Base:
    """Make an image of uncompressed layer tars; ``config`` is the ``config`` member of its own."""
    (path / "blobs/sha256").mkdir(parents=True)
    diff_ids = tuple(_digest(layer) for layer in layers)
    layer_type = "application/vnd.oci.image.layer.v1.tar" + ("+gzip" if compress else "")
    stored = [compress(layer) if compress else layer for layer in layers]
    image = {
        "created": "2023-11-14T22:13:20Z",
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "config": {"Env": [f"PATH={DEFAULT_PATH}"], "Cmd": ["/bin/sh"], **(config or {})},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": "tests/bases.py"} for _ in layers],
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
    return gzip.compress(data, compresslevel=1, mtime=0)


def busybox(path: Path, config: Mapping[str, Any] | None = None) -> Base:
    """Debian's static busybox with a link for each applet; about 2 MB, made in 0.1 s."""
    return write_layout(path, [busybox_layer()], config, compress=fast_gzip)


def busybox_layer() -> bytes:
    program = Path("/bin/busybox").read_bytes()
    listed = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
            tar.addfile(_member(name, mode, tarfile.DIRTYPE))
        _add_file(tar, "bin/busybox", program, 0o755)
        for applet in sorted(set(listed.stdout.split()) - {"busybox"}):
            link = _member(f"bin/{applet}", 0o777, tarfile.SYMTYPE)
            link.linkname = "busybox"
            tar.addfile(link)
        _add_file(
            tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
        )
        _add_file(tar, "etc/group", b"root:x:0:\nuser:x:1000:\n")
        _add_file(tar, "etc/motd", b"welcome\n")
    return buffer.getvalue()


def debian(path: Path, scratch: Path) -> Base:
    """The smallest Debian, of the machine's own suite, by debootstrap: about 200 MB, 30 s.

    ``scratch`` is a new folder on a file system that allows device files; the caller removes it.
    """
    release = dict(
        line.split("=", 1) for line in Path("/etc/os-release").read_text().splitlines() if line
    )
    done = subprocess.run(
        ["debootstrap", "--variant=minbase", release["VERSION_CODENAME"].strip('"'), scratch],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"debootstrap: exit code {done.returncode}\n{done.stdout[-2000:]}")
    return write_layout(path, [_tree(scratch)], {"Cmd": ["bash"]}, compress=fast_gzip)


def _tree(root: Path) -> bytes:
    """Tar a file system without what differs between two bootstraps or belongs to the machine."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in _walk(root):
            tar.add(path, path.relative_to(root), recursive=False, filter=_clamp)
    return buffer.getvalue()


def _walk(folder: Path, *, below: str = "") -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        place = f"{below}/{path.name}"
        if place in {"/etc/hostname", "/etc/resolv.conf", "/var/cache/ldconfig/aux-cache"}:
            continue
        yield path
        empty = below == "" and path.name in {"dev", "proc", "sys", "run"}
        empty = empty or place in {"/var/log", "/var/cache/apt/archives", "/var/lib/apt/lists"}
        if path.is_dir() and not path.is_symlink() and not empty:
            yield from _walk(path, below=place)


def _clamp(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mtime = min(int(member.mtime), EPOCH)
    member.uname = member.gname = ""
    return member


def _member(name: str, mode: int, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, EPOCH
    return member


def _add_file(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    member = _member(name, mode, tarfile.REGTYPE)
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _blob(path: Path, data: bytes, media_type: object) -> dict[str, Any]:
    digest = _digest(data)
    (path / "blobs" / digest.replace(":", "/")).write_bytes(data)
    return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
