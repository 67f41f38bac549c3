"""The capabilities that docker gives to a container, and podman and buildah do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_DOCKERS = ("AUDIT_WRITE", "MKNOD", "NET_RAW")
_ROOT = ("", "0", "root")


def added_capabilities(flags: Sequence[str], *, user: str = "") -> list[str]:
    """What an engine has to add, so that a run with these flags has what docker gives.

    Nothing that ``--cap-drop`` takes away: podman refuses to do both, and with ``ALL`` what is
    added stays.  ``user`` is for engines that make what is added effective for any user, where
    docker has it effective for root alone: nothing for another.  The names are without ``CAP_``.
    """
    dropped = set(_dropped(flags))
    if "ALL" in dropped or user.partition(":")[0] not in _ROOT:
        return []
    return [name for name in _DOCKERS if name not in dropped]


def _dropped(flags: Sequence[str]) -> Iterator[str]:
    words = iter(flags)
    for word in words:
        flag, separator, value = word.partition("=")
        if flag == "--cap-drop":
            names = value if separator else next(words, "")
            yield from (name.upper().removeprefix("CAP_") for name in names.split(","))
