"""Flags written for ``docker create``, as rules_docker's ``docker_run_flags`` holds them.

Those that have an argument of ``run_commit`` become it, so that they mean the same with every
engine; those that runcommit does without fall away; the others go to the engine as they are.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from runcommit_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_ARGUMENTS = {
    "-u": "user",
    "--user": "user",
    "-w": "workdir",
    "--workdir": "workdir",
    "--net": "network",
    "--network": "network",
    "-e": "env",
    "--env": "env",
    # the command runs without the base's entrypoint, and names and lives of containers are ours
    "--entrypoint": "",
    "--name": "",
}
_NEEDLESS = {"--rm", "--rm=true", "-i", "-t", "-it", "-ti", "--interactive", "--tty"}


def translated(words: Sequence[str], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments`` of ``run_commit`` with what the flags say; what is there already wins."""
    keywords = dict(arguments)
    rest: list[str] = []
    env: dict[str, str] = {}
    for name, value in _pairs(words):
        if name == "env":
            env |= _variable(value)
        elif name == "flag":
            rest.append(value)
        elif name and not arguments.get(name):
            keywords[name] = value
    if env:
        keywords["env"] = env | dict(keywords.get("env") or {})
    if rest:
        keywords["run_flags"] = [*keywords.get("run_flags", ()), *rest]
    return keywords


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(argument's name, value); the name is ``flag`` for a word that stays as it is."""
    queue = iter(words)
    for word in queue:
        flag, value = _cut(word)
        if word in _NEEDLESS:
            continue
        if flag not in _ARGUMENTS:
            yield "flag", word
            continue
        if value is None:
            value = next(queue, None)
        if value is None:
            raise UsageError(f"docker_run_flags: {flag} lacks its value")
        yield _ARGUMENTS[flag], value


def _cut(word: str) -> tuple[str, str | None]:
    if word.startswith("--"):
        flag, separator, value = word.partition("=")
        return flag, value if separator else None
    if word[:2] in _ARGUMENTS and len(word) > len("-u"):
        return word[:2], word[2:].removeprefix("=")
    return word, None


def _variable(text: str) -> dict[str, str]:
    name, separator, value = text.partition("=")
    if separator:
        return {name: value}
    return {name: os.environ[name]} if name in os.environ else {}
