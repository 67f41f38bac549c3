"""Which extended attributes a layer may hold, and in which form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from runcommit_core.tar.entry import NO_XATTRS

if TYPE_CHECKING:
    from collections.abc import Mapping

CAPABILITY: Final = b"security.capability"

_USER = b"user."
_ENGINE_PREFIXES = (b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.")
_V3_SIZE = 24
_V2_SIZE = 20
_V3, _V2 = 3, 2


def kept_xattrs(xattrs: Mapping[bytes, bytes], *, user: bool) -> Mapping[bytes, bytes]:
    """Filter to the file capability and, with ``user``, the ``user.*`` that no engine made.

    A capability of version 3 becomes version 2: its root id means something on one host only.
    """
    if not xattrs:
        return NO_XATTRS
    kept = {}
    if CAPABILITY in xattrs:
        kept[CAPABILITY] = _portable_capability(xattrs[CAPABILITY])
    if user:
        kept |= {name: value for name, value in xattrs.items() if is_user_xattr(name)}
    return kept


def is_user_xattr(name: bytes) -> bool:
    """Tell whether an attribute is a user's own, and not an engine's note in ``user.*``."""
    return name.startswith(_USER) and not name.startswith(_ENGINE_PREFIXES)


def _portable_capability(value: bytes) -> bytes:
    if len(value) == _V3_SIZE and value[3] == _V3:
        return value[:3] + bytes((_V2,)) + value[4:_V2_SIZE]
    return value
