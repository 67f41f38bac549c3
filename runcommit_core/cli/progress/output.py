"""The last lines of what a command said, fit to be shown on a terminal that is ours."""

from __future__ import annotations

import codecs
import re

_KEPT_BYTES = 32 * 1024

# ECMA-48: control sequences, strings with their terminators, all other escape sequences
_SEQUENCES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|\x1b[PX^_][^\x1b]*\x1b\\"
    r"|\x1b[ -/]*[0-OQ-WYZ`-~]"
    r"|\x1b[^\n]*\Z"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_TAB = 8


class LastOutput:
    """Keeps the end of a stream of bytes; taking bytes costs next to nothing."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._cut = False

    def feed(self, chunk: bytes) -> None:
        self._bytes += chunk
        if len(self._bytes) > _KEPT_BYTES:
            del self._bytes[:-_KEPT_BYTES]
            self._cut = True

    def lines(self, count: int) -> list[str]:
        """The last ``count`` lines, without control sequences.

        Of a line that was written several times with carriage returns, as progress bars are, the
        last version counts.
        """
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._bytes))
        if self._cut:
            text = text[re.match(r"[^\r\n]*[\r\n]?", text).end() :]  # type: ignore[union-attr]
        lines = _SEQUENCES.sub("", text).removesuffix("\n").split("\n")
        shown = [_visible(line) for line in lines[-count:]]
        return shown if any(shown) else []


def _visible(line: str) -> str:
    versions = [version for version in line.split("\r") if version]
    return _CONTROLS.sub("", versions[-1].expandtabs(_TAB)).rstrip() if versions else ""
