"""Tars byte by byte, without the product's own writer."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from runcommit_core.tar.digests import DiffId

if TYPE_CHECKING:
    from collections.abc import Mapping

END = bytes(1024)


@dataclass(frozen=True)
class Member:
    name: bytes
    type: bytes = b"0"
    content: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 1_600_000_000
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    pax: Mapping[bytes, bytes] = field(default_factory=dict)
    gnu: bool = False
    uname: bytes = b""
    fields: Mapping[int, bytes] = field(default_factory=dict)
    """Raw bytes put over the header at an offset, before the checksum is taken."""


def directory(name: bytes, mode: int = 0o755, **kwargs: object) -> Member:
    return Member(name + b"/", b"5", mode=mode, **kwargs)


def symlink(name: bytes, target: bytes, **kwargs: object) -> Member:
    return Member(name, b"2", link=target, mode=0o777, **kwargs)


def hardlink(name: bytes, target: bytes, **kwargs: object) -> Member:
    return Member(name, b"1", link=target, **kwargs)


def tar(*members: Member, end: bytes = END) -> bytes:
    return b"".join(map(blocks, members)) + end


def diff_id(data: bytes) -> DiffId:
    return DiffId(f"sha256:{hashlib.sha256(data).hexdigest()}")


def blocks(member: Member) -> bytes:
    records = dict(member.pax)
    before = b""
    for value, flag, key in ((member.name, b"L", b"path"), (member.link, b"K", b"linkpath")):
        if len(value) > 100 and member.gnu:
            before += _meta(flag, b"././@LongLink", value + b"\0")
        elif len(value) > 100:
            records[key] = value
    if not 0 <= member.mtime < 8**11 and not member.gnu:
        records[b"mtime"] = b"%d" % member.mtime
    if records:
        data = b"".join(record(key, value) for key, value in records.items())
        before += _meta(b"x", b"PaxHeaders/x", data)
    return before + header(member) + padded(member.content)


def record(key: bytes, value: bytes) -> bytes:
    size = len(key) + len(value) + 3
    digits = next(n for n in range(1, 9) if len(str(size + n)) == n)
    return b"%d %b=%b\n" % (size + digits, key, value)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def header(member: Member) -> bytes:
    block = bytearray(512)

    def put(offset: int, data: bytes) -> None:
        block[offset : offset + len(data)] = data

    put(0, member.name[:100])
    put(100, b"%07o\0" % member.mode)
    put(108, b"%07o\0" % member.uid)
    put(116, b"%07o\0" % member.gid)
    put(124, b"%011o\0" % len(member.content))
    put(136, _time(member))
    put(156, member.type)
    put(157, member.link[:100])
    put(257, b"ustar  \0" if member.gnu else b"ustar\x0000")
    put(265, member.uname)
    put(329, b"%07o\0" % member.device[0])
    put(337, b"%07o\0" % member.device[1])
    for offset, data in member.fields.items():
        put(offset, data)
    put(148, b" " * 8)
    put(148, b"%06o\0 " % sum(block))
    return bytes(block)


def _time(member: Member) -> bytes:
    if 0 <= member.mtime < 8**11:
        return b"%011o\0" % member.mtime
    if member.gnu:
        return (member.mtime % 2**96 | 1 << 95).to_bytes(12)
    return b"%011o\0" % 0


def _meta(flag: bytes, name: bytes, data: bytes) -> bytes:
    return blocks(Member(name, flag, data, mtime=0))
