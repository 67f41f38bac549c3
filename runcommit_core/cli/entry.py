"""The entry point: signals, logging, and from an exception to an exit code."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys

import click

from runcommit_core.cli.commands import cli
from runcommit_core.cli.told import ToldError
from runcommit_core.engine import interruption
from runcommit_core.engine.interruption import InterruptedBySignalError
from runcommit_core.errors import EngineError, RuncommitError

log = logging.getLogger("runcommit")


def run() -> int:
    """Run the command line; the exit code, which docs/reference/errors.md lists."""
    interruption.install(interruption.Told(_stopping, _hurrying))
    try:
        with interruption.waiting():
            cli.main(standalone_mode=False)
    except InterruptedBySignalError as error:
        return _interrupted(error.number)
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


def _interrupted(number: int) -> int:
    from runcommit_core.engine import process

    interruption.all_said()
    done = "not cleaned up" if process.owed() or interruption.is_cut_short() else "cleaned up"
    _say(f"interrupted by {signal.Signals(number).name}; {done}")
    return 128 + number


def _stopping(number: int) -> None:
    # from a thread of its own, whose troubles are nobody's
    with contextlib.suppress(Exception):
        log.warning("stopping (%s); once more to end at once", signal.Signals(number).name)


def _hurrying() -> None:
    with contextlib.suppress(Exception):
        log.warning("ending at once")


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
