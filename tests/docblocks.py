"""The code blocks of the documentation's pages.

A comment above a block, which no reader sees, may say how it is to be tried::

    <!-- varies: 6f0c5c3a9b1e -->   words of the output that are others in each run
    <!-- not run: REASON -->        nor is what no test can do; tests/test_doc_blocks.py lists these
    <!-- run by: tests/test_x.py -->  what another test runs, or compares

In the output that a page shows, ``…`` stands for anything on a line, or, alone, for any lines.
"""

from __future__ import annotations

import functools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).parent.parent
_LIST = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md")
_NOTE = re.compile(r"<!-- (varies|not run|run by): (.*?) -->\s*", re.DOTALL)
_ATTRIBUTE = re.compile(r'(\w+)="(.+?)"')


@dataclass(frozen=True, slots=True)
class Block:
    """A block, with what is said about it: in its first line, and in the comment above it.

    ``title`` is the file that it is, ``schema`` the one of docs/reference that it keeps to.
    """

    page: str
    line: int
    language: str
    text: str
    title: str = ""
    schema: str = ""
    varies: tuple[str, ...] = ()
    not_run: str = ""
    run_by: str = ""

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def here(self) -> bool:
        """Whether no comment says that it is not for the tests of blocks."""
        return not (self.not_run or self.run_by)


def pages() -> list[str]:
    """The Markdown files of the checkout."""
    done = subprocess.run(_LIST, cwd=TOP, capture_output=True, text=True, check=True)
    return sorted(name for name in done.stdout.splitlines() if (TOP / name).exists())


@functools.cache
def blocks(page: str, text: str) -> list[Block]:
    """The blocks of a page, but for what is an instruction to the site (``{toctree}``)."""
    tokens = MarkdownIt().parse(text)
    found = []
    for above, token in zip([None, *tokens], tokens, strict=False):
        if token.type == "fence" and token.map and not token.info.startswith("{"):
            comment = above.content if above and above.type == "html_block" else ""
            notes = dict(_NOTE.findall(comment))
            attributes = dict(_ATTRIBUTE.findall(token.info))
            found.append(
                Block(
                    page=page,
                    line=token.map[0] + 1,
                    language=token.info.partition(" ")[0],
                    text=token.content,
                    title=attributes.get("title", ""),
                    schema=attributes.get("schema", ""),
                    varies=tuple(notes.get("varies", "").split()),
                    not_run=" ".join(notes.get("not run", "").split()),
                    run_by=notes.get("run by", ""),
                )
            )
    return found


def commands(text: str) -> Iterator[str]:
    """The commands of a shell's block: a line each, with those that a backslash joins to it."""
    for line in re.split(r"(?<!\\)\n", text):
        if line.strip() and not line.startswith("#"):
            yield line


def dialogue(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console's block (``$ …``), each with the output that is shown."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = re.split(r"((?<!\\)\n)", part, maxsplit=1)
        yield command, output


def shows(shown: str, output: str, varies: tuple[str, ...]) -> bool:
    """Whether the output is what a page shows, but for what may differ."""
    lines = (re.escape(line).replace("…", ".*") for line in shown.rstrip().splitlines())
    pattern = "\n".join(r"(?:.*\n)*?.*" if line == ".*" else line for line in lines)
    for word in varies:
        pattern = pattern.replace(re.escape(word), r"\S+")
    return re.fullmatch(pattern, output.rstrip()) is not None
