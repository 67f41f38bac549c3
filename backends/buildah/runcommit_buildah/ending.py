"""How the command of ``buildah run`` ended: the last lines that buildah writes are all there is.

A command may say such words itself, so they count at the end alone, where buildah's own stand.
"""

from __future__ import annotations

import re
import signal

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
_LAST = re.compile(r"exit status (?P<code>\d+)$")
_ENDED = re.compile(r"exited (?:with status (?P<code>\d+)|on (?P<signal>[a-z][a-z0-9/ ]+))$")
_CREATING = "error running container: from "
_IN_CHROOT = re.compile(r"(?P<said>.*)subprocess exited with status \d+$")
_MISSING = re.compile(r"executable file not found|no such file or directory", re.IGNORECASE)
_DENIED = re.compile(r"exec.*: permission denied", re.IGNORECASE)
_SIGNALS = {(signal.strsignal(number) or "").lower(): number for number in signal.valid_signals()}


def exit_code(returncode: int, output: str) -> int | None:
    """The command's exit code, 128 + N after a signal; None where buildah failed and began none."""
    *lines, last = output.rstrip().splitlines() or [""]
    found = _LAST.search(last)
    if not found or int(found["code"]) != returncode:
        return None
    before = lines[-1] if lines else ""
    if before == f": exit status {returncode}" and (begun := _last_line(lines, _CREATING)):
        return _never_begun("\n".join(lines[begun - 1 :]))
    if in_chroot := _IN_CHROOT.match(before):
        return _of_chroot(in_chroot["said"], lines[-2] if len(lines) > 1 else "")
    if before.startswith("error running subprocess: "):
        return None
    killed = _ENDED.search(before) if "container exited on " in before else None
    return _code(killed) if killed else returncode


def _last_line(lines: list[str], beginning: str) -> int:
    """The number, from 1, of the last line that begins so; 0 if none does."""
    return max((n for n, line in enumerate(lines, 1) if line.startswith(beginning)), default=0)


def _of_chroot(said: str, above: str) -> int | None:
    """Chroot isolation has two processes, and both tell how what they started has ended."""
    if said.startswith("process failed to start with error: "):
        return _never_begun(said)
    ended = None if said else _ENDED.search(above)
    return _code(ended) if ended else None


def _code(ended: re.Match[str]) -> int | None:
    if ended["code"]:
        return int(ended["code"])
    return 128 + _SIGNALS[ended["signal"]] if ended["signal"] in _SIGNALS else None


def _never_begun(said: str) -> int | None:
    if _DENIED.search(said):
        return _NOT_EXECUTABLE
    return _NOT_FOUND if _MISSING.search(said) else None
