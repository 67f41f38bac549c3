"""The one filter for text that others wrote: images, engines, stores, backends.

No control character reaches a terminal, a log or an error (ECMA-48 lets them move the cursor, and
change what was printed before), no mark that turns the direction of writing (Unicode TR 36), and no
line is longer than a person would read.  What is not printable is told as Python escapes it.
"""

from __future__ import annotations

LONGEST = 4096
"""Characters of a line; what is cut off is told by its number."""

_INDENT = "  "


def one_line(text: str, longest: int = LONGEST) -> str:
    """Text without any control character, line breaks included."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else _escaped(each) for each in text)
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text) - longest} more characters)"


def paragraph(text: str, longest: int = LONGEST) -> str:
    """Text of several lines, all but the first indented: none passes for a message of its own."""
    first, *more = text.split("\n")
    lines = [one_line(line.replace("\t", " "), longest) for line in more]
    indented = [line if line.startswith(_INDENT) or not line else _INDENT + line for line in lines]
    return "\n".join([one_line(first.replace("\t", " "), longest), *indented])


def listed(text: str, longest: int = LONGEST) -> str:
    """Text of several lines as it is laid out, each without control characters."""
    return "\n".join(one_line(line, longest) for line in text.split("\n"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
