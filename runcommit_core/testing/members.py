"""Layers of a base, member by member: what tools write, and what engines have to unpack."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, Any

from runcommit_core.testing.bases import EPOCH

if TYPE_CHECKING:
    from collections.abc import Mapping

Member = tuple[tarfile.TarInfo, bytes]

CAPABILITY = "security.capability"


def layer(*members: Member) -> bytes:
    """The tar of a layer with these members, in their order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def directory(name: str, mode: int = 0o755, **attributes: Any) -> Member:
    """A directory; ``attributes`` are those of a ``tarfile.TarInfo``."""
    return _member(name, tarfile.DIRTYPE, mode=mode, **attributes), b""


def file(
    name: str,
    data: bytes = b"",
    mode: int = 0o644,
    *,
    xattrs: Mapping[str, bytes] | None = None,
    **attributes: Any,
) -> Member:
    """A regular file, with extended attributes as pax headers have them."""
    info = _member(name, tarfile.REGTYPE, mode=mode, size=len(data), **attributes)
    info.pax_headers = {
        f"SCHILY.xattr.{key}": value.decode(errors="surrogateescape")
        for key, value in (xattrs or {}).items()
    }
    return info, data


def symlink(name: str, target: str, **attributes: Any) -> Member:
    """A symbolic link."""
    return _member(name, tarfile.SYMTYPE, mode=0o777, linkname=target, **attributes), b""


def hardlink(name: str, target: str) -> Member:
    """One more name of a file that a member before has."""
    return _member(name, tarfile.LNKTYPE, mode=0o644, linkname=target), b""


def fifo(name: str, mode: int = 0o644) -> Member:
    """A named pipe."""
    return _member(name, tarfile.FIFOTYPE, mode=mode), b""


def whiteout(name: str) -> Member:
    """What deletes a path of the layers below."""
    folder, _, last = name.rpartition("/")
    return file(f"{folder}/.wh.{last}" if folder else f".wh.{last}")


def opaque(name: str) -> Member:
    """What hides all that the layers below have in a directory."""
    return file(f"{name}/.wh..wh..opq")


def _member(name: str, kind: bytes, **attributes: Any) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mtime = kind, EPOCH
    for key, value in attributes.items():
        setattr(member, key, value)
    return member
