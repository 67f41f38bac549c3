"""The entry point: signals, logging, and from an exception to an exit code."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

import click

from runcommit_core.cli.commands import cli
from runcommit_core.cli.interruption import InterruptedBySignalError
from runcommit_core.cli.told import ToldError
from runcommit_core.errors import EngineError, RuncommitError

if TYPE_CHECKING:
    from types import FrameType


def run() -> int:
    """Run the command line; the exit code, which docs/reference/errors.md lists."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        cli.main(standalone_mode=False)
    except InterruptedBySignalError as error:
        _say(f"interrupted by {signal.Signals(error.number).name}; cleaned up")
        return 128 + error.number
    except ToldError as error:
        return error.exit_code
    except (RuncommitError, click.ClickException, click.exceptions.Exit) as error:
        _explain(error)
        return error.exit_code
    except BrokenPipeError:
        # whoever read our standard output has gone; nothing is left to say there
        sys.stdout = None
        return 1
    except OSError as error:
        _say(f"error: {error}")
        return 1
    return 0


def _interrupt(number: int, _frame: FrameType | None) -> None:
    # what follows is clean-up, which a second signal must not cut short
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise InterruptedBySignalError(number)


def step_of(error: RuncommitError) -> str:
    """Words that name the step in which an engine failed; a failed command is no step of ours."""
    return f"in step {error.step}: " if error.step and isinstance(error, EngineError) else ""


def _explain(error: RuncommitError | click.ClickException | click.exceptions.Exit) -> None:
    if isinstance(error, click.ClickException):
        error.show()
    elif isinstance(error, RuncommitError):
        _say(f"error: {step_of(error)}{error}")
        if error.tip:
            _say(f"tip: {error.tip}")


def _say(text: str) -> None:
    click.echo(f"runcommit: {text}", err=True)
