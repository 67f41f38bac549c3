"""Which option of ``runcommit run`` worked on which host: a table made from what the tests ran.

``pytest --options-table FILE`` (``scripts/test --options-table=docs/reference/options.md``) writes
it when all of its tests have ended.  Only what passing tests ran counts.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import click

from runcommit_core.cli.commands import cli

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WORKED, REFUSED, NOT_RUN = "✓", "refused", "-"
_USAGE, _ENGINE_FAILED = 2, 4

HEADER = """\
# Options and backends

Made by `scripts/test --options-table=docs/reference/options.md` from the jobs that the tests ran on
real engines, so it is no promise but a record. ✓: it worked; refused: an error (exit code 2) before
anything ran, which says what to do instead; -: no test has used it there. `runcommit run --help`
tells what each option does.
"""


def options_of(verb: str) -> dict[str, str]:
    """The options of a verb: from the name in Python to what the command line calls it."""
    command = cli.get_command(click.Context(cli), verb)
    assert command, verb
    return {
        str(option.name): max(option.opts, key=len)
        for option in command.params
        if isinstance(option, click.Option)
    }


def options_used(words: Sequence[str]) -> set[str]:
    """The options in the arguments of ``runcommit run``, by their name in Python."""
    command = cli.commands["run"]
    with command.make_context("run", [], resilient_parsing=True) as context:
        try:
            _, _, order = command.make_parser(context).parse_args(list(words))
        except click.UsageError:
            return set()
    return {str(item.name) for item in order if isinstance(item, click.Option)}


class Record:
    """What the test that runs now has run, and what all tests that passed have."""

    def __init__(self) -> None:
        self._pending: list[tuple[str, Sequence[str], int]] = []
        self.codes: dict[tuple[str, str], set[int]] = defaultdict(set)

    def add(self, host: str, words: Sequence[str], returncode: int) -> None:
        """Take note of one command line, without the program's name."""
        if [*words[:1]] == ["run"]:
            self._pending.append((host, words[1:], returncode))

    def settle(self, *, passed: bool) -> None:
        """The test has ended."""
        for host, words, returncode in self._pending if passed else ():
            for option in options_used(words):
                self.codes[option, host].add(returncode)
        self._pending.clear()

    def dump(self) -> list[tuple[str, str, list[int]]]:
        """What :meth:`load` takes, in another process."""
        return [(option, host, [*codes]) for (option, host), codes in self.codes.items()]

    def load(self, rows: Iterable[tuple[str, str, list[int]]]) -> None:
        for option, host, codes in rows:
            self.codes[option, host].update(codes)


record = Record()


def cell(codes: Iterable[int]) -> str:
    """What came of all uses of an option on a host."""
    if any(code == 0 or code > _ENGINE_FAILED for code in codes):
        return WORKED
    return REFUSED if _USAGE in codes else NOT_RUN


def table(codes: dict[tuple[str, str], set[int]], hosts: Sequence[str]) -> str:
    """The options of ``run``, a row each, in the order of its help; the hosts in columns."""
    lines = [f"| option | {' | '.join(hosts)} |", f"|---|{'---|' * len(hosts)}"]
    for name, option in options_of("run").items():
        cells = [cell(codes.get((name, host), ())) for host in hosts]
        lines.append(f"| `{option}` | {' | '.join(cells)} |")
    return "\n".join([HEADER, *lines, ""])
