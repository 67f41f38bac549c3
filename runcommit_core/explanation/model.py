"""What an explanation consists of, as values, as words and as JSON.

The words are a list of commands that a shell would take, and remarks.
"""

from __future__ import annotations

import shlex
from itertools import groupby
from typing import TYPE_CHECKING, Any

from runcommit_core.records import record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.interface.values import EngineInfo

JOB = "JOB"
EPOCH = "EPOCH"
FOLDER = "FOLDER"
PORT = "PORT"
ADDRESS = f"127.0.0.1:{PORT}"
REPOSITORY = "REPOSITORY"
SECRETS = "SECRETS"


@record
class PlannedCommand:
    """A command that ``step`` starts, always or on a ``condition``.

    ``reads`` names what it gets on its standard input, if anything.  Words in capitals stand for
    what only a run knows: JOB is its id, 127.0.0.1:PORT/REPOSITORY the loopback registry, FOLDER
    the job's private folder, SECRETS one in memory; HASH and EPOCH depend on an image that only
    the engine has.
    """

    step: str
    argv: tuple[str, ...]
    condition: str = ""
    reads: str = ""


@record
class Explanation:
    """What a job would do: commands in their order, and what is done without the engine.

    ``facts`` are pairs of a word and what is to be said about it.
    """

    backend: str
    engine: EngineInfo
    base: str
    commands: tuple[PlannedCommand, ...]
    facts: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        """The text that ``--explain`` prints."""
        return as_text(self)


_STEPS = {
    "resolve": "find the base in the engine",
    "read": "read the base out of the engine",
    "load": "make the base known to the engine, as a private copy",
    "run": "run the command in a new container",
    "commit": "find what the container has changed, or make an image of it",
    "save": "bring what is new out of the engine",
    "deliver": "bring the complete image into the engine, under the name asked for",
    "verify": "look at the container's root",
    "clean up": "also after an error, Ctrl-C or SIGTERM",
}

_EXTRACT = ("", "# extract: the canonical layer is written by runcommit itself")
_AFTER_EXTRACT = {"deliver", "verify", "clean up"}


def as_text(explanation: Explanation) -> str:
    """The commands line by line, ready for a shell; all else stands behind ``#``."""
    return "\n".join(_lines(explanation))


def as_json(explanation: Explanation) -> dict[str, Any]:
    """The same as data."""
    engine = explanation.engine
    return {
        "schema_version": 1,
        "backend": explanation.backend,
        "engine_version": engine.version or None,
        "base": explanation.base,
        "commands": [
            {
                "step": command.step,
                "argv": list(command.argv),
                "condition": command.condition or None,
                "reads": command.reads or None,
            }
            for command in explanation.commands
        ],
        "facts": [{"about": about, "fact": fact} for about, fact in explanation.facts],
    }


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"# {explanation.base} with {explanation.backend}{_engine(explanation)}"
    yield "# Nothing of this was run.  JOB, PORT, REPOSITORY and FOLDER are chosen by a run."
    yield ""
    for about, fact in explanation.facts:
        yield f"# {about + ':':<12}{fact}"
    told = False
    for step, commands in groupby(explanation.commands, key=lambda command: command.step):
        if step in _AFTER_EXTRACT and not told:
            yield from _EXTRACT
            told = True
        yield ""
        yield f"# {step}: {_STEPS.get(step, '')}".rstrip(": ")
        yield from _commands(list(commands))
    if not told:
        yield from _EXTRACT


def _engine(explanation: Explanation) -> str:
    engine = explanation.engine
    if engine.problem:
        return f", which cannot be used now: {engine.problem}"
    mode = "rootless" if engine.rootless else "rootful"
    return f" {engine.version} ({mode}, {engine.storage})"


def _commands(commands: list[PlannedCommand]) -> Iterator[str]:
    for condition, some in groupby(commands, key=lambda command: command.condition):
        indent = "  " if condition else ""
        if condition:
            yield f"# {condition}:"
        for command in some:
            source = f"  # reads {command.reads}" if command.reads else ""
            yield f"{indent}{shlex.join(command.argv)}{source}"
