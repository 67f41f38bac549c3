"""A base with everything that engines are known to lose when they unpack one."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runcommit_core.testing import bases
from runcommit_core.testing.members import (
    CAPABILITY,
    directory,
    fifo,
    file,
    hardlink,
    layer,
    opaque,
    symlink,
    whiteout,
)

if TYPE_CHECKING:
    from pathlib import Path

CHOWN = struct.pack("<IIIII", 0x02000001, 1 << 0, 0, 0, 0)
"""The attribute ``security.capability`` (version 2) that gives a program CAP_CHOWN."""

LONG = "n" * 250
DEEP = "/".join(letter * 90 for letter in "def")
FOLDER_TIME, LOWER_TIME, FILE_TIME, LINK_TIME = 1_000_000_000, 1_100_000_000, 123_456_789, 2**30

_PASSWD = (
    b"root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/:/bin/sh\n"
    b"app:x:1500:1600:An app:/home/app:/bin/sh\n"
)
_GROUP = b"root:x:0:\nadm:x:4:root\napp:x:1600:\nfirst:x:2001:app\nsecond:x:2002:user,app\n"


def odd_base(path: Path) -> bases.Base:
    """Three layers, a user with groups and a home, and variables that shells would garble."""
    config = {
        "User": "app",
        "WorkingDir": "/home/app",
        "Env": ["PATH=/it/bin:/bin", "OURS=base", "EQUAL=a=b==c", "EMPTY="],
    }
    layers = [bases.busybox_layer(), _lower(), _upper()]
    return bases.write_layout(path, layers, config, compress=bases.fast_gzip)


def _lower() -> bytes:
    return layer(
        file("etc/passwd", _PASSWD),
        file("etc/group", _GROUP),
        directory("home"),
        directory("home/app", 0o750, uid=1500, gid=1600),
        directory("it", mtime=FOLDER_TIME),
        file("it/owned", b"owned", 0o640, uid=1500, gid=2001),
        file("it/suid", b"s", 0o4755, uid=1500, gid=1600),
        directory("it/sticky", 0o3777, uid=1500),
        file("it/closed", b"", 0),
        file("it/time", b"t", mtime=FILE_TIME),
        # a program that has a capability, and a small file that has it
        file("it/busybox", bases.busybox_program(), 0o755, xattrs={CAPABILITY: CHOWN}),
        file("it/capable", b"c", 0o755, xattrs={CAPABILITY: CHOWN}),
        file("it/one", b"12"),
        hardlink("it/two", "it/one"),
        symlink("it/link", "/nowhere", mtime=LINK_TIME, uid=1500, gid=1600),
        fifo("it/fifo", 0o620),
        directory("it/opaque"),
        file("it/opaque/below"),
        directory("it/opaque/folder"),
        file("it/opaque/folder/below"),
        directory("it/gone"),
        file("it/gone/below"),
        file("it/deleted"),
        file("it/was-file"),
        directory("it/was-folder"),
        file("it/was-folder/below"),
        symlink("it/was-link", "sticky"),
        file(f"it/{LONG}", b"long"),
        file(f"it/{DEEP}", b"deep"),
        file("it/ä b\n'\"$\\", b"odd"),
    )


def _upper() -> bytes:
    return layer(
        directory("it", mtime=FOLDER_TIME),
        directory("it/opaque", 0o755, mtime=LOWER_TIME),
        opaque("it/opaque"),
        file("it/opaque/above"),
        whiteout("it/gone"),
        whiteout("it/deleted"),
        directory("it/was-file"),
        file("it/was-file/in"),
        file("it/was-folder", b"now a file"),
        directory("it/was-link"),
        file("it/was-link/in"),
    )
