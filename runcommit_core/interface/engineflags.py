"""Flags before an engine's verb, which choose where the engine is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def flag_values(words: Sequence[str], names: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The flags among ``words`` that ``names`` knows, by the name it has there, with their values.

    A value is in the same word (``--flag=value``, ``-fvalue``) or in the next one; of flags that
    are not known none is taken to have a value in the next.
    """
    rest = iter(words)
    for word in rest:
        flag, separator, value = word.partition("=")
        if flag in names:
            yield names[flag], value if separator else next(rest, "")
        elif word[:2] in names and not word.startswith("--"):
            yield names[word[:2]], word[2:]
