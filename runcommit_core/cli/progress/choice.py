"""Which way of showing progress it is, and its life around a job."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from typing import TYPE_CHECKING

from runcommit_core.cli.say import PlainFormatter
from runcommit_core.cli.told import ToldError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.cli.progress.reporter import Reporter

MODES = ("auto", "plain", "json", "none")


@contextlib.contextmanager
def reporting(mode: str, *, verbose: int = 0, quiet: bool = False) -> Iterator[Reporter]:
    """Show the progress of the job in the block, and its log records, on standard error.

    ``auto`` is live where a person looks at a terminal; elsewhere only the command's output is
    shown, as it is.  ``quiet`` means that, too, and no warnings.
    """
    reporter = _reporter(mode, quiet=quiet)
    _set_up_logging(reporter, verbose, quiet=quiet or mode == "none")
    try:
        yield reporter
    except BaseException as error:
        reporter.close(error)
        if reporter.tells(error):
            raise _told(error) from error
        raise
    reporter.close(None)


def _reporter(mode: str, *, quiet: bool) -> Reporter:
    if mode == "json":
        from runcommit_core.cli.progress.jsonlines import JsonLines

        return JsonLines()
    if mode == "auto" and not quiet and _is_watched():
        from runcommit_core.cli.progress.live import Live

        return Live()
    from runcommit_core.cli.progress.plain import AsItIs, Plain, Silent

    return {"plain": Plain, "none": Silent}.get(mode, AsItIs)()


def _is_watched() -> bool:
    """Whether standard error is a terminal that can move its cursor."""
    dumb = os.environ.get("TERM", "") in {"", "dumb", "unknown"}
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def _set_up_logging(reporter: Reporter, verbose: int, *, quiet: bool) -> None:
    """Warnings; with ``-v`` steps, with ``-vv`` every engine command."""
    levels = (logging.ERROR if quiet else logging.WARNING, logging.INFO, logging.DEBUG)
    handler = reporter.handler
    handler.setFormatter(PlainFormatter("runcommit: %(message)s"))
    if reporter.shows_steps:
        handler.addFilter(lambda record: record.name != "runcommit.steps")
    logger = logging.getLogger("runcommit")
    logger.addHandler(handler)
    logger.setLevel(levels[min(verbose, 2)])


def _told(error: BaseException) -> ToldError:
    from runcommit_core.engine.interruption import InterruptedBySignalError

    if isinstance(error, InterruptedBySignalError):
        return ToldError(128 + error.number)
    return ToldError(getattr(error, "exit_code", 1))
