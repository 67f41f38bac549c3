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
_ENDED = re.compile(r"exited (?:with status (?=\d+$)|on (?=[a-z]))([a-z0-9/ ]+)$")
_CREATING = "error running container: from "
_IN_CHROOT = re.compile(r"(?P<said>.*)subprocess exited with status \d+$")


def exit_code(argv: Sequence[str], returncode: int, output: str) -> int | None:
    """The command's exit code, 128 + N after a signal; None where buildah failed and began none."""
    *lines, above, before, last = ["", "", "", *output.rstrip().splitlines()]
    ended = _LAST.search(last)
    if not ended or int(ended[1]) != returncode or before.startswith("error running subprocess: "):
        return None
    _, creating, said = "\n".join((*lines, above)).rpartition(f"\n{_CREATING}")
    if creating and before == f": exit status {returncode}":
        return containers.unstarted_code(argv, said) or None
    if in_chroot := _IN_CHROOT.match(before):
        return _in_chroot(argv, returncode, in_chroot["said"] or above)
    return (_told(before) if "container exited on " in before else None) or returncode


def _in_chroot(argv: Sequence[str], returncode: int, said: str) -> int | None:
    """Chroot isolation has two processes, and both tell how what they started has ended.

    On a busy machine it loses what the inner one tells, with the end of what the command said.
    """
    if said.startswith("process failed to start with error: "):
        return containers.unstarted_code(argv, said) or None
    if returncode == 1 and said.startswith("error "):
        return None
    return _told(said) or returncode


def _told(line: str) -> int | None:
    if not (ended := _ENDED.search(line)):
        return None
    return int(ended[1]) if ended[1].isdecimal() else containers.killed_code(ended[1])
