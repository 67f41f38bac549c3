"""What a path holds: a layout, an archive, or something that is no image and is named so."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError
from runcommit_core.oci.archive import index_archive
from runcommit_core.oci.compression import SNIFF_LENGTH, open_decompressed, sniff
from runcommit_core.oci.jsondoc import MAX_JSON
from runcommit_core.oci.members import DirectoryMembers, Members
from runcommit_core.oci.model import Compression
from runcommit_core.oci.references import Kind

if TYPE_CHECKING:
    from pathlib import Path

EXPECTED = (
    "a base is an OCI layout (a directory with oci-layout, index.json and blobs), an oci-archive"
    " or a docker-archive (what 'docker save' or 'podman save' writes), or engine:REF"
)

_BLOCK = 512
_ROOTFS = ("etc", "usr", "bin", "dev", "proc")


def open_members(path: Path) -> Members:
    """Open a directory, or a tar archive however it is compressed; ArchiveError for the rest."""
    if path.is_dir():
        return DirectoryMembers(path)
    _check_tar(path)
    return index_archive(path)


def detect_kinds(members: Members, path: Path) -> tuple[Kind, ...]:
    """Tell as what the members can be read, best first; ArchiveError says what they are instead."""
    directory = path.is_dir()
    kinds = []
    if members.find("oci-layout") or members.find("index.json"):
        kinds.append(Kind.OCI if directory else Kind.OCI_ARCHIVE)
    if _has_docker_manifest(members):
        kinds.append(Kind.DOCKER_ARCHIVE)
    if kinds:
        return tuple(kinds)
    what = _name_directory(members, path) if directory else _name_archive(members)
    raise ArchiveError(f"{path}: is {what}, not an image", tip=EXPECTED)


def _has_docker_manifest(members: Members) -> bool:
    region = members.find("manifest.json")
    if region is None:
        return False
    return members.read(region, min(region.size, MAX_JSON)).lstrip()[:1] == b"["


def _name_directory(members: Members, path: Path) -> str:
    if members.find("manifest.json"):
        return "a directory in skopeo's dir: form"
    if members.find("Dockerfile") or members.find("Containerfile"):
        return "a build context with a Dockerfile"
    if sum((path / name).is_dir() for name in _ROOTFS) > 1:
        return "a root file system"
    return "a directory without oci-layout and index.json"


def _name_archive(members: Members) -> str:
    if members.find("repositories"):
        return "an archive of docker before 1.10 (no manifest.json)"
    if members.find("manifest.json"):
        return "an archive whose manifest.json is not docker's"
    return "a tar without oci-layout, index.json and manifest.json (a single layer?)"


def _check_tar(path: Path) -> None:
    """Refuse what is no tar before it is read as one, with a name for it."""
    try:
        # Opening a pipe could wait for ever, and an archive is read more than once.
        if not stat.S_ISREG(path.stat().st_mode):
            raise ArchiveError(f"{path}: is no regular file", tip=EXPECTED)
        stream = path.open("rb")
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be read: {error.strerror}") from error
    with stream:
        head = stream.read(_BLOCK)
        compression = sniff(head[:SNIFF_LENGTH])
        if compression is not Compression.NONE:
            stream.seek(0)
            with open_decompressed(stream, compression, name=str(path)) as plain:
                head = plain.read(_BLOCK)
    if not _is_tar(head):
        packed = "" if compression is Compression.NONE else f"{compression}-compressed and inside "
        raise ArchiveError(f"{path}: is {packed}{_name_file(path, head)}", tip=EXPECTED)


def _is_tar(head: bytes) -> bool:
    if len(head) < _BLOCK:
        return False
    if head[257:262] == b"ustar" or not any(head):
        return True
    return _stated_checksum(head) == sum(head) - sum(head[148:156]) + 8 * ord(" ")


def _stated_checksum(head: bytes) -> int:
    try:
        return int(head[148:156].strip(b" \0"), 8)
    except ValueError:
        return -1


def _name_file(path: Path, head: bytes) -> str:
    if not head:
        return "an empty file"
    if path.name.startswith(("Dockerfile", "Containerfile")):
        return "a Dockerfile, which must be built first"
    if head.lstrip()[:1] in (b"{", b"["):
        return "a JSON file, not a tar"
    if head.startswith(b"\x7fELF"):
        return "a program, not a tar"
    if b"\0" not in head:
        return "a text file, not a tar"
    return "no tar"
