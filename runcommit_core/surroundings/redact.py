"""Keeping the values of secrets out of what is shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runcommit_core.errors import TOLD, CommandError, CommandTimeoutError, EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SHOWN = "*****"

_LEAST_LINE = 8
"""A line of a secret that is at least so long is hidden alone, too."""

_LEAST_CUT = 4


class Redactor:
    """Takes the place of a console: passes on what is no secret, as soon as that is sure.

    What could be the beginning of a secret waits for the next chunk, or for :meth:`flush`.
    """

    def __init__(self, values: Iterable[bytes], console: Callable[[bytes], None]) -> None:
        self._values = sorted(_hidden(values), key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._values)))
        self._console = console
        self._waiting = b""

    def __call__(self, chunk: bytes) -> None:
        """Take a chunk of output."""
        if not self._values:
            self._console(chunk)
            return
        data = self._waiting + chunk
        held = self._held(data)
        shown = self.redacted(data[: len(data) - held])
        self._waiting = data[len(data) - held :]
        if shown:
            self._console(shown)

    def flush(self) -> None:
        """Show what waits; to be called when the output has ended."""
        if self._waiting:
            self._console(self.redacted(self._waiting))
            self._waiting = b""

    def redacted(self, data: bytes) -> bytes:
        """The same text without the secrets."""
        return self._pattern.sub(SHOWN.encode(), data) if self._values else data

    def clean(self, error: BaseException | None) -> None:
        """Take the secrets out of an error, and out of those that it came from."""
        while error is not None:
            if isinstance(error, (EngineError, CommandError, CommandTimeoutError)):
                self._clean_output(error)
            error.args = tuple(
                self._text(item) if isinstance(item, str) else item for item in error.args
            )
            error = error.__cause__ or error.__context__

    def _clean_output(self, error: EngineError | CommandError | CommandTimeoutError) -> None:
        """A tail may begin within a secret; EngineError repeats it in its message."""
        raw = error.output.encode(errors="surrogateescape")
        cut = self._cut(raw)
        rest = self.redacted(raw[cut:]).decode(errors="surrogateescape")
        error.output = SHOWN + rest if cut else rest
        if isinstance(error, EngineError) and error.args:
            head, separator, _ = error.args[0].partition(TOLD)
            lines = error.output.strip().splitlines() if separator else []
            error.args = ("".join((head, *(TOLD + line for line in lines))),)

    def _cut(self, data: bytes) -> int:
        """How many bytes at the beginning are the end of a secret."""
        sizes = (
            size
            for value in self._values
            for size in range(len(value) - 1, _LEAST_CUT - 1, -1)
            if data.startswith(value[-size:])
        )
        return max(sizes, default=0)

    def _held(self, data: bytes) -> int:
        """How many bytes at the end may be the beginning of a secret."""
        start = len(data)
        for value in self._values:
            for size in range(min(len(value) - 1, len(data)), 0, -1):
                if data.endswith(value[:size]):
                    start = min(start, len(data) - size)
                    break
        # a secret that is there in full may reach into what would be held
        for match in self._pattern.finditer(data):
            if match.start() < start < match.end():
                start = match.end()
        return len(data) - start

    def _text(self, text: str) -> str:
        return self.redacted(text.encode(errors="surrogateescape")).decode(errors="surrogateescape")


def _hidden(values: Iterable[bytes]) -> set[bytes]:
    hidden = set()
    for value in values:
        hidden.add(value.strip())
        hidden |= {line for line in value.splitlines() if len(line.strip()) >= _LEAST_LINE}
    return hidden - {b""}
