"""What a command did that no layer can say, in words: none of it may get lost in silence."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from runcommit_core.layer.wording import printable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ACL = b"system.posix_acl_"


def socket_warning(path: bytes) -> str:
    """Say that a socket is lost."""
    return f"{printable(path)} is a socket, which no layer can hold; left out"


def has_acl(xattrs: Iterable[bytes]) -> bool:
    """Whether one of these attributes is an access control list, which engines put in no layer."""
    return any(name.startswith(_ACL) for name in xattrs)


def acl_warnings(paths: Sequence[bytes]) -> list[str]:
    """Say that the access control lists of these paths are lost, in one line or none."""
    return [_dropped("ACLs", paths)] if paths else []


def user_xattr_warnings(paths: Sequence[bytes]) -> list[str]:
    """Say that what a command noted in ``user.*`` attributes is lost, in one line or none."""
    return [_dropped("user.* attributes", paths)] if paths else []


def root_warnings(upper: Path) -> list[str]:
    """Say that a change of the root directory itself is lost, in one line or none.

    Docker, podman and buildah make an upper directory like the uppermost of the lower ones, which
    the file ``lower`` beside it names, relative to the store.
    """
    try:
        lower = upper.with_name("lower").read_text().partition(":")[0].strip()
        before, now = (upper.parents[1] / lower).stat(), upper.stat()
    except OSError:
        return []  # another store, of which nothing is known
    if _attributes(before) == _attributes(now):
        return []
    change = f"/ itself was changed from {_shown(before)} to {_shown(now)}"
    return [f"{change}; no layer says what the root directory is, so that is left out"]


def _dropped(what: str, paths: Sequence[bytes]) -> str:
    count = f"{len(paths)} {'path' if len(paths) == 1 else 'paths'}"
    return f"{what} dropped from {count}, the first is {printable(paths[0])}"


def _attributes(status: os.stat_result) -> tuple[int, int, int]:
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


def _shown(status: os.stat_result) -> str:
    mode, uid, gid = _attributes(status)
    return f"{mode:o} {uid}:{gid}"
