"""The order of the canonical form: pre-order by components, whiteouts first in a directory.

Paths hold no NUL, so with NUL for ``/`` plain byte order compares component by component, and a
whiteout's extra NUL puts it before every name.
"""

from __future__ import annotations


def entry_key(path: bytes) -> bytes:
    """Give the sort key of an entry."""
    return path.replace(b"/", b"\0")


def whiteout_key(target: bytes) -> bytes:
    """Give the sort key of the whiteout that deletes ``target``."""
    parent, slash, name = target.rpartition(b"/")
    return (entry_key(parent) + b"\0\0" if slash else b"\0") + name
