"""docs/reference/errors.md: exit codes and exceptions."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from markdown import MADE, code, table, words

from runcommit_core import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = f"""\
# Errors and exit codes

{MADE}
An error says what failed and where, for an engine its exact command and its last words, and in a
line `tip:` what to do, where that is known. All of it goes to standard error.
"""

OTHERS = {
    0: ("done; also when nothing changed, and there is no layer", ""),
    1: (
        "the operating system refused something, or the answer is no: `layer diff`, `plugins`",
        "`OSError`",
    ),
    129: ("ended by SIGHUP, after cleaning up", ""),
    130: ("ended by Ctrl-C (SIGINT), after cleaning up", ""),
    143: ("ended by SIGTERM, after cleaning up", ""),
}

EXCEPTIONS = """\
## Exceptions

`from runcommit_core import …`. Each has the attributes `exit_code`, `tip` and `step`, and those
named in its arguments.
"""


def page() -> str:
    """The page as Markdown."""
    found = list(_tree(errors.RuncommitError))
    codes = dict(OTHERS)
    for error in found:
        if error is not errors.RuncommitError:
            told, names = codes.get(error.exit_code, ("", ""))
            told = "; or: ".join(filter(None, [told, _first(error)]))
            codes[error.exit_code] = (told, ", ".join(filter(None, [names, code(error.__name__)])))
    rows = [(str(number), *codes[number]) for number in sorted(codes)]
    parts = [HEAD, "## Exit codes\n", table(("code", "meaning", "exception"), rows), EXCEPTIONS]
    return "\n".join([*parts, *map(_section, found)])


def _tree(error: type[errors.RuncommitError]) -> Iterator[type[errors.RuncommitError]]:
    """The class and those below it, in the order in which they are defined."""
    yield error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)


def _first(error: type) -> str:
    """What the class says of itself in its first sentence, as part of another."""
    sentence = words(inspect.getdoc(error) or "").split("; ")[0].split("\n\n")[0].rstrip(".")
    return sentence[0].lower() + sentence[1:]


def _section(error: type[errors.RuncommitError]) -> str:
    arguments = [name for name in inspect.signature(error).parameters if name != "message"]
    facts = [f"exit code {error.exit_code}", f"arguments {', '.join(map(code, arguments))}"]
    if error is not errors.RuncommitError:
        facts.insert(0, f"is a {code(error.__base__.__name__)}")
    told = words(inspect.getdoc(error) or "")
    return f"### {error.__name__}\n\n{told}\n\n*{'; '.join(facts)}*\n"
