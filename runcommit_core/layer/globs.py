r"""Patterns that choose paths of an image.

A pattern is held against the whole path from the image's root, as in a ``.dockerignore``; a
leading and a trailing ``/`` change nothing.

===========  =======================================================================
``*``        any run of characters within one component, a leading dot included
``?``        one character of a component
``[a-z]``    one character of the class, ``[!a-z]`` or ``[^a-z]`` one outside of it; a first
             ``]`` is a member, ``\`` has no meaning in it
``**``       as a whole component: any number of components, none included; at the end
             at least one, so ``a/**`` is all that is below ``a``, without ``a``
``\x``       ``x`` itself
===========  =======================================================================

Everything else stands for itself, case counts, and ``*`` beside other characters (``a**``) is
one ``*``.  What is below a chosen directory is chosen, too, but that is up to the caller:
see :func:`runcommit_core.layer.scrub.with_ancestors`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_ANY_DEPTH = "**"
_COMPONENTS = "(?:[^/]+/)*"
_TOKEN = re.compile(r"\\(?P<quoted>.)|\[(?P<set>[!^]?\]?[^\]]*)\]|(?P<plain>.)", re.DOTALL)
_NEGATIONS = ("!", "^")


def matcher(patterns: Iterable[str]) -> Callable[[bytes], bool]:
    """Compile patterns to one test of normalised paths; the root, ``b""``, is never chosen.

    Raises UsageError: a pattern without a meaning
    """
    expressions = [_expression(pattern) for pattern in patterns]
    if not expressions:
        return lambda _: False
    match = re.compile("|".join(expressions), re.DOTALL).fullmatch
    return lambda path: match(path.decode(errors="surrogateescape")) is not None


def _expression(pattern: str) -> str:
    """Translate a pattern to a regular expression that never backtracks past a ``*``.

    Of the parts between two ``*`` (or ``**``) the leftmost place is as good as any other, so it
    is final; only the last part must reach the end.
    """
    components = [part for part in pattern.split("/") if part not in ("", ".")]
    _check(pattern, components)
    first, *rest = _runs(components, pattern)
    if not rest:
        return first
    *middle, last = rest
    start = f"{first}/" if first else ""
    between = "".join(f"(?>(?:[^/]+/)*?{run}/)" for run in middle)
    return start + between + (_COMPONENTS + last if last else ".+")


def _check(pattern: str, components: list[str]) -> None:
    if not components:
        raise _senseless(pattern, "names no path")
    if ".." in components:
        raise _senseless(pattern, "has a '..' component, but paths begin at the image's root")
    if "\0" in pattern:
        raise _senseless(pattern, "holds a NUL character, which no path does")
    if pattern.startswith("!"):
        raise _senseless(
            pattern, "begins with '!', but patterns only add", "write /! for a name that does"
        )


def _runs(components: list[str], pattern: str) -> list[str]:
    """Join the components between each two ``**``; none are left between adjacent ones."""
    runs: list[list[str]] = [[]]
    for component in components:
        if component != _ANY_DEPTH:
            runs[-1].append(_component(component, pattern))
        elif len(runs) == 1 or runs[-1]:
            runs.append([])
    return ["/".join(run) for run in runs]


def _component(component: str, pattern: str) -> str:
    parts = [""]
    for piece in _pieces(component, pattern):
        if piece != "*":
            parts[-1] += piece
        elif len(parts) == 1 or parts[-1]:
            parts.append("")
    first, *rest = parts
    if not rest:
        return first
    *middle, last = rest
    if not (first or middle or last):
        return "[^/]+"
    return first + "".join(f"(?>[^/]*?{part})" for part in middle) + "[^/]*" + last


def _pieces(component: str, pattern: str) -> Iterator[str]:
    """Yield an expression for one character each, and ``*``."""
    for token in _TOKEN.finditer(component):
        if token["quoted"] is not None:
            yield re.escape(token["quoted"])
        elif token["set"] is not None:
            yield _set(token["set"], pattern)
        elif token["plain"] == "[":
            raise _senseless(pattern, "has a '[' without its ']'", "write \\[ for the character")
        elif token["plain"] == "\\":
            raise _senseless(pattern, "ends a name with a single \\", "write \\\\ for it")
        else:
            yield {"*": "*", "?": "[^/]"}.get(token["plain"], re.escape(token["plain"]))


def _set(members: str, pattern: str) -> str:
    negated = members.startswith(_NEGATIONS)
    members = members[negated:]
    if not members:
        raise _senseless(pattern, "has an empty class []", "write \\[ for the character")
    body = ""
    while members:
        low, dash, high = members[0], members[1:2], members[2:3]
        if dash != "-" or not high:
            body, members = body + re.escape(low), members[1:]
            continue
        if low > high:
            raise _senseless(pattern, f"has the class {low}-{high}, whose end is before its start")
        body, members = f"{body}{re.escape(low)}-{re.escape(high)}", members[3:]
    return f"(?!/)[{'^' * negated}{body}]"


def _senseless(pattern: str, why: str, tip: str = "") -> UsageError:
    return UsageError(f"the pattern {pattern!r} {why}", tip=tip)
