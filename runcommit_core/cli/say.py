"""How the command line says what others wrote; see :mod:`runcommit_core.mouth.plain`."""

from __future__ import annotations

import logging

import click

from runcommit_core.mouth.plain import LONGEST, listed, paragraph


class PlainFormatter(logging.Formatter):
    """Log records fit for a terminal; only the commands of ``-vv`` may be of any length."""

    def format(self, record: logging.LogRecord) -> str:
        """The record's text."""
        longest = LONGEST if record.levelno > logging.DEBUG else LONGEST**2
        return paragraph(super().format(record), longest)


def say(text: object) -> None:
    """Print lines of a listing on standard output."""
    click.echo(listed(str(text)))
