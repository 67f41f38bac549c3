"""How the command of ``buildah run`` ended: the last lines that buildah writes are all there is.

A command may say such words itself, so they count at the end alone, where buildah's own stand.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runcommit_core import containers

if TYPE_CHECKING:
    from collections.abc import Sequence

_LAST = re.compile(r"exit status (\d+)$")
_ENDED = re.compile(r"exited (?:with status (?P<code>\d+)|on (?P<signal>[a-z][a-z0-9/ ]+))$")
_CREATING = "error running container: from "
_IN_CHROOT = re.compile(r"(?P<said>.*)subprocess exited with status \d+$")


def exit_code(argv: Sequence[str], returncode: int, output: str) -> int | None:
    """The command's exit code, 128 + N after a signal; None where buildah failed and began none."""
    *lines, above, before, last = ["", "", "", *output.rstrip().splitlines()]
    found = _LAST.search(last)
    if not found or int(found[1]) != returncode or before.startswith("error running subprocess: "):
        return None
    _, creating, said = "\n".join((*lines, above)).rpartition(f"\n{_CREATING}")
    if creating and before == f": exit status {returncode}":
        return containers.unstarted_code(argv, said) or None
    if in_chroot := _IN_CHROOT.match(before):
        return _in_chroot(argv, in_chroot["said"], above)
    return (_told(before) if "container exited on " in before else None) or returncode


def _in_chroot(argv: Sequence[str], said: str, above: str) -> int | None:
    """Chroot isolation has two processes, and both tell how what they started has ended."""
    if said.startswith("process failed to start with error: "):
        return containers.unstarted_code(argv, said) or None
    return None if said else _told(above)


def _told(line: str) -> int | None:
    ended = _ENDED.search(line)
    if ended and ended["code"]:
        return int(ended["code"])
    return containers.killed_code(ended["signal"]) if ended else None
