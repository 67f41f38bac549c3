"""A moving picture of a terminal: ``scripts/record`` makes the README's with it.

``python -m tests.recording FILE`` runs a job on the podman host, on a terminal whose screen is kept
as often as it changes, and writes what was to be seen as an SVG that plays it.
"""

from __future__ import annotations

import html
import itertools
import shlex
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import bases
from tests.hosts import session
from tests.terminals import Terminal, terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyte.screens import Char

COLUMNS, ROWS = 84, 16
COMMANDS = (
    "apt-get -y purge tzdata",
    "find /usr/share/doc -type f -print -delete",
    "ldconfig -v",
)
FRAME_SECONDS = 0.2
HOLD_SECONDS = 4.0

CELL, LINE, MARGIN = 8.4, 19, 14
COLOURS = {"green": "#3fb950", "red": "#f85149", "brightblack": "#8b949e", "default": "#e6edf3"}
BACKGROUND = "#0d1117"
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Row = tuple[tuple[int, str, str, bool], ...]
"""Pieces of a line: the column, the text, its colour, whether it is bold."""


@dataclass(frozen=True)
class Shown:
    """A row that was to be seen at a line from ``start`` to ``end``, in seconds."""

    line: int
    row: Row
    start: float
    end: float


def main() -> None:
    with tempfile.TemporaryDirectory(dir=session().shared) as name:
        folder = Path(name)
        base = bases.debian(folder / "debian")
        frames = record(folder, f"oci:{base.path.name}")
    target = Path(sys.argv[1])
    target.parent.mkdir(exist_ok=True)
    target.write_text(svg(frames))


def record(folder: Path, base: str) -> list[tuple[float, list[Row]]]:
    """The screen of a job, whenever it was another one, by seconds."""
    host = session().hosts["podman"]
    words = ["run", "-b", host.backend, base, "-o", "layer.tar"]
    words += [word for command in COMMANDS for word in ("-c", command)]
    frames: list[tuple[float, list[Row]]] = []
    with terminal(COLUMNS, ROWS) as screen:
        typed = f"$ runcommit {shlex.join(words)}".replace(" -c ", " \\\n    -c ")
        screen.feed(typed.replace("\n", "\r\n").encode() + b"\r\n")
        started = screen.start(
            host.popen,
            Path(host.python).with_name("runcommit"),
            *words,
            env={"TERM": "xterm-256color"},
            cwd=folder,
        )
        begin = time.monotonic()
        while started.poll() is None or screen.read():
            until = time.monotonic() + FRAME_SECONDS
            while (left := until - time.monotonic()) > 0:
                screen.read(left)
            rows = [*rows_of(screen)]
            if not frames or rows != frames[-1][1]:
                frames.append((time.monotonic() - begin, rows))
    if started.returncode:
        raise SystemExit(screen.text())
    return frames


def rows_of(screen: Terminal) -> Iterator[Row]:
    for line in range(ROWS):
        cells = [screen.screen.buffer[line][column] for column in range(COLUMNS)]
        yield tuple(pieces(cells))


def pieces(cells: list[Char]) -> Iterator[tuple[int, str, str, bool]]:
    """Neighbours that look the same, without blanks at the end of the line."""
    column = 0
    for (colour, bold), group in itertools.groupby(cells, lambda cell: (cell.fg, cell.bold)):
        text = "".join(cell.data for cell in group)
        if text.strip():
            yield column, text.rstrip(), colour, bold
        column += len(text)


def intervals(frames: list[tuple[float, list[Row]]], end: float) -> Iterator[Shown]:
    """Each row with the time that it was to be seen, the same row of two frames once."""
    times = [*(start for start, _ in frames), end]
    for line in range(ROWS):
        seen = [rows[line] for _, rows in frames]
        number = 0
        for row, same in itertools.groupby(seen):
            count = len(list(same))
            if row:
                start = times[number] if number else 0.0
                yield Shown(line, row, start, times[number + count])
            number += count


def svg(frames: list[tuple[float, list[Row]]]) -> str:
    end = frames[-1][0] + HOLD_SECONDS
    width, height = COLUMNS * CELL + 2 * MARGIN, ROWS * LINE + 2 * MARGIN
    still = poster(frames)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"',
        f' width="{width:g}" font-family="{FONT}" font-size="14">',
        "<title>runcommit run, on a terminal</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        *(text_of(shown, end, still=still) for shown in intervals(frames, end)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def poster(frames: list[tuple[float, list[Row]]]) -> float:
    """What is shown where nothing moves: the first moment at which the command has said a lot."""
    said = {
        start: sum("│" in text for row in rows for _, text, *_ in row) for start, rows in frames
    }
    return max(said, key=lambda start: said[start])


def text_of(shown: Shown, end: float, *, still: float) -> str:
    y = MARGIN + shown.line * LINE + 14
    visibility = "visible" if shown.start <= still < shown.end else "hidden"
    spans = "".join(map(span, shown.row))
    if shown.start == 0 and shown.end == end:
        return f'<text y="{y}" xml:space="preserve">{spans}</text>'
    return (
        f'<text y="{y}" xml:space="preserve" visibility="{visibility}">{spans}'
        f"{animation(shown, end)}</text>"
    )


def span(piece: tuple[int, str, str, bool]) -> str:
    column, text, colour, bold = piece
    x, length = MARGIN + column * CELL, len(text) * CELL
    weight = ' font-weight="bold"' if bold else ""
    fill = COLOURS.get(colour, COLOURS["default"])
    return (
        f'<tspan x="{x:g}" textLength="{length:g}" fill="{fill}"{weight}>'
        f"{html.escape(text, quote=False)}</tspan>"
    )


def animation(shown: Shown, end: float) -> str:
    times = [(0.0, "hidden"), (shown.start, "visible"), (shown.end, "hidden")]
    steps = [step for step in times if step[0] < end]
    if shown.start == 0:
        steps = steps[1:]
    values = ";".join(value for _, value in steps)
    keys = ";".join(f"{start / end:.4g}" for start, _ in steps)
    return (
        f'<animate attributeName="visibility" calcMode="discrete" dur="{end:.1f}s" '
        f'repeatCount="indefinite" values="{values}" keyTimes="{keys}"/>'
    )


if __name__ == "__main__":
    main()
