"""Paths of a container's, looked for beneath its root by us, who stand outside of it."""

from __future__ import annotations

import os

_MOST_STEPS = 255


def beneath(root: str, path: str) -> str:
    """Where ``path`` leads in the folder ``root``, as a path without links, relative to it.

    Links on the way are the container's own, so an absolute one begins at ``root``, and no ``..``
    leads out.  What is not there is not looked at.  Raises OSError for links in a circle.
    """
    parts_beneath: list[str] = []
    pending = _parts(path)
    for _ in range(_MOST_STEPS):
        if not pending:
            return "/".join(parts_beneath)
        part = pending.pop()
        if part == "..":
            del parts_beneath[-1:]
            continue
        here = os.path.join(root, *parts_beneath, part)
        if os.path.islink(here):
            link = os.readlink(here)
            parts_beneath = [] if link.startswith("/") else parts_beneath
            pending += _parts(link)
        else:
            parts_beneath.append(part)
    raise OSError(f"the links on the way to {path!r} lead in a circle")


def _parts(path: str) -> list[str]:
    """The components of a path, the last one first."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]
