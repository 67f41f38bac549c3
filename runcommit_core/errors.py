"""The error tree: one root, one leaf per exit code.

======================  ====  =====================================================
RuncommitError             1  the root; never raised itself
UsageError                 2  an option or a combination of options makes no sense
UnknownBackendError        2  no backend of that name, or none is usable
BackendContractError       3  a backend lacks a step or returns what it must not
EngineError                4  the engine failed, is missing or cannot be reached
CommandError               5  the user's command ended with a code other than 0
ArchiveError               6  an image or a layer is not what the spec says
ReproducibilityError       7  two runs of one job gave different layers
PolicyError                8  a plugin refuses the new layers
CommandTimeoutError      124  the user's command took longer than it may
======================  ====  =====================================================
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from runcommit_core.mouth.plain import one_line, paragraph

if TYPE_CHECKING:
    from collections.abc import Sequence


TOLD = "\n  | "
"""What stands before each line that an engine said."""


class RuncommitError(Exception):
    """Everything that runcommit raises on purpose.

    ``str()`` says what failed and where, in words that are fit for a terminal whoever wrote them;
    ``tip``, where there is one, says what to do; ``step`` is the step of the pipeline that raised
    it, empty outside of one.
    """

    exit_code = 1
    step = ""

    def __init__(self, message: str, *, tip: str = "") -> None:
        super().__init__(message)
        self.tip = one_line(tip)

    def __str__(self) -> str:
        return paragraph(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        """Let errors be copied and cross processes, whatever their class takes to be made."""
        return _rebuilt, (type(self), self.args, self.__dict__)


def _rebuilt(
    kind: type[RuncommitError], args: tuple[Any, ...], state: dict[str, Any]
) -> RuncommitError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class UsageError(RuncommitError):
    """What the caller asked for makes no sense."""

    exit_code = 2


class UnknownBackendError(UsageError):
    """No installed backend has this name, or ``auto`` found none that is usable."""


class BackendContractError(RuncommitError):
    """A backend or plugin does not do what the hooks demand."""

    exit_code = 3


class EngineError(RuncommitError):
    """An engine's command failed; ``argv``, ``returncode`` and ``output`` tell which and how."""

    exit_code = 4

    def __init__(
        self,
        message: str,
        *,
        argv: Sequence[str] = (),
        returncode: int | None = None,
        output: str = "",
        tip: str = "",
    ) -> None:
        command = f"\n  command: {shlex.join(argv)}" if argv else ""
        told = "".join(f"{TOLD}{line}" for line in output.strip().splitlines())
        super().__init__(f"{message}{command}{told}", tip=tip)
        self.argv = tuple(argv)
        self.returncode = returncode
        self.output = output


class CommandError(RuncommitError):
    """The user's command failed; ``output`` is the end of what it said."""

    exit_code = 5

    def __init__(
        self, message: str, *, command_exit_code: int, output: str = "", tip: str = ""
    ) -> None:
        super().__init__(message, tip=tip)
        self.command_exit_code = command_exit_code
        self.output = output


class ArchiveError(RuncommitError):
    """An image, archive or layer is not what its specification demands."""

    exit_code = 6


class ReproducibilityError(RuncommitError):
    """Two runs of the same job gave different layers."""

    exit_code = 7


class PolicyError(RuncommitError):
    """A plugin refuses the new layers; the message names each reason."""

    exit_code = 8


class CommandTimeoutError(RuncommitError):
    """The user's command took longer than ``--timeout``; ``output`` is the end of what it said."""

    exit_code = 124

    def __init__(self, message: str, *, output: str = "", tip: str = "") -> None:
        super().__init__(message, tip=tip)
        self.output = output
