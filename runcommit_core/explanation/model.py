"""What an explanation consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.records import record

if TYPE_CHECKING:
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
        from runcommit_core.explanation.text import as_text

        return as_text(self)
