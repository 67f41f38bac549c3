"""The lines at the end of a terminal that are painted again and again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from runcommit_core.cli.progress.board import Line

_HIDE_CURSOR, _SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
_ERASE_LINE, _ERASE_BELOW = "\x1b[K", "\x1b[J"


class Region:
    """Paints lines over the ones painted before, in one write, so that nothing flickers.

    The cursor rests at the start of the line below.  Lines are cut at the edge.  A terminal that
    became narrower has wrapped what was there, so the rows to go up are counted for its width now.
    """

    def __init__(self, write: Callable[[str], None], size: Callable[[], os.terminal_size]) -> None:
        self._write = write
        self._size = size
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False)
        self._painted: list[int] = []
        self._before = ""

    def paint(self, lines: list[Line]) -> None:
        """Show these lines instead of the ones before."""
        width, height = self._size()
        cut = [_cut(line, width) for line in lines[: max(1, height - 1)]]
        frame = "".join(f"{self._rendered(text)}{_ERASE_LINE}\r\n" for text in cut) + _ERASE_BELOW
        up = self._up(width)
        if frame != self._before or up != len(cut):
            self._write(("" if self._painted else _HIDE_CURSOR) + _upwards(up) + frame)
        self._painted = [text.cell_len for text in cut]
        self._before = frame

    def clear(self) -> None:
        """Take the lines away, so that something else can be written in their place."""
        if self._painted:
            self._write(_upwards(self._up(self._size()[0])) + _ERASE_BELOW)
        self._painted, self._before = [], ""

    def leave(self) -> None:
        """What is painted stays, and the terminal is as it was."""
        self._write(_SHOW_CURSOR)

    def _up(self, width: int) -> int:
        return sum(max(1, math.ceil(cells / width)) for cells in self._painted)

    def _rendered(self, text: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(text, end="", soft_wrap=True)
        return captured.get()


def _cut(line: Line, width: int) -> Text:
    text = Text.assemble(*line)
    text.truncate(max(1, width - 1), overflow="ellipsis")
    text.rstrip()
    return text


def _upwards(rows: int) -> str:
    return f"\r\x1b[{rows}A" if rows else ""
