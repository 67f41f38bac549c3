"""Edits of the image's config, from what users write to what is done."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from runcommit_core.errors import ArchiveError, UsageError
from runcommit_core.oci.edits import ConfigEdits
from runcommit_core.oci.jsondoc import parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

    from runcommit_core.request.keywords import ConfigKeywords

    Words = str | Sequence[str]

_PORT = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_PORTS = range(1, 65536)


def config_edits(**asked: Unpack[ConfigKeywords]) -> ConfigEdits:
    """Check what was asked for; UsageError for what no config can hold."""
    expose = asked.get("expose", ())
    texts = [expose] if isinstance(expose, str) else expose
    return ConfigEdits(
        env=_named("variable", asked.get("config_env")),
        entrypoint=_words("entrypoint", asked.get("entrypoint")),
        cmd=_words("cmd", asked.get("cmd")),
        labels=_named("label", asked.get("labels")),
        annotations=_named("annotation", asked.get("annotations")),
        user=asked.get("config_user"),
        workdir=asked.get("config_workdir"),
        ports=tuple(port for text in texts for port in _ports(text)),
        author=asked.get("author"),
        comment=asked.get("comment"),
    )


def _named(what: str, given: Mapping[str, str] | None) -> dict[str, str]:
    for key in given or ():
        if not key or (what == "variable" and "=" in key):
            raise UsageError(f"{key!r} is no name of a {what}")
    return dict(given or {})


def _words(what: str, given: Words | None) -> str | tuple[str, ...] | None:
    """A JSON array or a sequence is a list of words; any other text is for the shell."""
    if given is None:
        return None
    if not isinstance(given, str):
        return tuple(given)
    if not given.strip():
        return ()
    if not given.lstrip().startswith("["):
        return given
    try:
        words = parse_json(given.encode(), "it")
    except (ArchiveError, UnicodeError) as error:
        if re.match(r"\s*\[\s", given):  # the shell's test
            return given
        raise UsageError(
            f"{what}: {given!r} begins like a JSON array and is none: {error}",
            tip="""write ["/bin/program", "argument"], with double quotes""",
        ) from error
    if not all(isinstance(word, str) for word in words):
        raise UsageError(f"{what}: {given!r} holds something other than strings")
    return tuple(words)


def _ports(text: str) -> list[str]:
    matched = _PORT.fullmatch(text)
    first, last = (int(matched[1]), int(matched[2] or matched[1])) if matched else (0, 0)
    if not matched or first not in _PORTS or last not in _PORTS or last < first:
        raise UsageError(
            f"{text!r} is no port to expose", tip="write PORT, PORT/udp or FIRST-LAST[/PROTOCOL]"
        )
    return [f"{port}/{(matched[3] or 'tcp').lower()}" for port in range(first, last + 1)]
