"""Words of the sources as Markdown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MADE = "Made from the sources by `scripts/reference`; what is wrong here is wrong there.\n"


def words(text: str) -> str:
    """A documentation string: code has one backquote in Markdown, and sentences one blank."""
    text = re.sub(r"(?<=[.:;!?])  +", " ", text.replace("``", "`")).strip()
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part[:1] == "`" else re.sub(r"([*<])", r"\\\1", part) for part in parts)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells are one line each, and a bar in one is no border."""
    lines = [_row(heads), "|" + "---|" * len(heads), *map(_row, rows)]
    return "\n".join([*lines, ""])


def code(text: str) -> str:
    """Words that are typed, or nothing."""
    return f"`{text}`" if text else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"
