"""Refuse layers with setuid or setgid files, or with files over 100 MB."""

from __future__ import annotations

import os
import stat
import tarfile
from typing import TYPE_CHECKING

from runcommit_core import PolicyError, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core import Layer, Layers

LIMIT = 100_000_000
"""The most bytes that a file may have."""


@hookimpl
def check(layers: Layers) -> None:
    """Name every file that breaks the policy."""
    reasons = [reason for layer in layers for reason in _reasons(layer)]
    if reasons:
        raise PolicyError(
            "\n  ".join(["the new layer breaks the policy:", *reasons]),
            tip="change the commands, or leave the files out with --exclude",
        )


def _reasons(layer: Layer) -> Iterator[str]:
    with tarfile.open(layer.path, "r:") as tar:
        for member in tar:
            if member.isdir() or member.issym():
                continue  # setgid means something else for a folder
            path = "/" + os.fsencode(member.name).decode(errors="backslashreplace")
            if member.mode & stat.S_ISUID:
                yield f"{path}: setuid (mode {member.mode:04o})"
            if member.mode & stat.S_ISGID:
                yield f"{path}: setgid (mode {member.mode:04o})"
            if member.size > LIMIT:
                yield f"{path}: {member.size} bytes, more than {LIMIT}"
