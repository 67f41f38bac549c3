"""A terminal for tests: a pseudo-terminal whose screen is kept as an emulator would show it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import termios
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyte

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator


@dataclass
class Terminal:
    """``popen`` is given Popen's options for a process on this terminal."""

    columns: int
    rows: int = 24
    raw: bytes = b""
    frames: list[tuple[float, list[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.screen = pyte.HistoryScreen(self.columns, self.rows, history=1000)
        self._stream = pyte.ByteStream(self.screen)
        self._ours, self._theirs = pty.openpty()
        self.resize(self.columns, self.rows)

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, size)
        self.screen.resize(rows, columns)

    def start(self, popen: Callable[..., subprocess.Popen[Any]], *argv: Any, **options: Any) -> Any:
        """Start a process whose terminal this is; standard output is the terminal, too."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._theirs)
        return popen(*argv, **(streams | options))

    def send(self, text: str) -> None:
        """Type."""
        os.write(self._ours, text.encode())

    def read(self, seconds: float = 0.05) -> bool:
        """Take what was written within that time; false when there was nothing."""
        ready, _, _ = select.select([self._ours], [], [], seconds)
        if not ready:
            return False
        data = os.read(self._ours, 65536)
        self.raw += data
        self.feed(data)
        self.frames.append((time.monotonic(), self.lines()))
        return True

    def feed(self, data: bytes) -> None:
        """Show bytes; what is dim is grey, as the emulator knows nothing dim."""
        self._stream.feed(data.replace(b"\x1b[2m", b"\x1b[90m"))

    def wait_for(self, *texts: str, seconds: float = 60) -> list[str]:
        """Read until each text is on the screen, and return its lines."""
        deadline = time.monotonic() + seconds
        while not all(text in self.text() for text in texts):
            assert time.monotonic() < deadline, f"not there: {texts}\n{self.text()}"
            self.read()
        return self.lines()

    def finish(self, process: subprocess.Popen[Any], seconds: float = 120) -> int:
        """Read until the process has ended and all it wrote is on the screen."""
        deadline = time.monotonic() + seconds
        while process.poll() is None:
            assert time.monotonic() < deadline, f"does not end\n{self.text()}"
            self.read()
        while self.read():
            pass
        return process.returncode

    def lines(self) -> list[str]:
        """What was scrolled off and what is on the screen, without blanks at the ends."""
        above = [
            "".join(row[x].data for x in range(self.columns)) for row in self.screen.history.top
        ]
        lines = [line.rstrip() for line in [*above, *self.screen.display]]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self) -> str:
        return "\n".join(self.lines())

    def close(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)


@contextlib.contextmanager
def terminal(columns: int, rows: int = 24) -> Iterator[Terminal]:
    opened = Terminal(columns, rows)
    try:
        yield opened
    finally:
        opened.close()
