"""Every code block of the documentation is tried; what cannot be is in a list, with the reason."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.docblocks import TOP, blocks, dialogue, pages, shows
from tests.docdesk import READERS, RUNNERS, Desk
from tests.docfolder import furnish
from tests.hosts import SPECS, Host

if TYPE_CHECKING:
    from pathlib import Path

TRIED = {*RUNNERS, *READERS}
BLOCKS = {page: blocks(page, (TOP / page).read_text()) for page in pages()}
ALL = [block for found in BLOCKS.values() for block in found]
RUN = {
    page: on_the_spot
    for page, found in BLOCKS.items()
    if (on_the_spot := [block for block in found if block.here and block.language in TRIED])
}
BAZEL = "starlark"
"""tests/test_bazel_blocks.py has these."""

NOT_RUN = {
    "these run the tests": [*["CONTRIBUTING.md"] * 3, "README.md"],
    "it is installed where the tests run": ["docs/tutorial/first-layer.md"],
    "what a test of the reader's says": ["docs/how-to/write-a-backend.md"],
    "a drawing": ["README.md"],
    "this takes an hour": ["benchmarks/README.md"],
    "it takes half a minute; the tests have a small rootfs.tar instead": [
        "examples/bazel/README.md"
    ],
}


TUTORIAL = "docs/tutorial/first-layer.md"


@pytest.mark.hosts("podman", "podman-rootless")
def test_the_tutorial_begins_with_nothing(host: Host, shared_tmp: Path):
    with Desk(host, shared_tmp) as desk:
        for block in RUN[TUTORIAL]:
            desk.run(block)


# long enough to be a row of their own
@pytest.mark.lane("pages")
@pytest.mark.hosts("podman")
@pytest.mark.parametrize("page", sorted({*RUN} - {TUTORIAL}))
def test_the_blocks_of_a_page_run(page: str, host: Host, shared_tmp: Path):
    furnish(shared_tmp, TOP / page)
    with Desk(host, shared_tmp) as desk:
        for block in RUN[page]:
            desk.run(block)


def test_what_is_not_run_is_listed_here():
    listed: dict[str, list[str]] = {}
    for block in ALL:
        if block.not_run:
            listed.setdefault(block.not_run, []).append(block.page)
    assert listed == NOT_RUN


def test_what_another_test_runs_is_named_there():
    for block in ALL:
        if block.run_by:
            assert block.page.partition("/README")[0] in (TOP / block.run_by).read_text()


def test_no_block_is_without_a_runner():
    known = TRIED | {BAZEL}
    strange = [block.place for block in ALL if block.here and block.language not in known]
    assert strange == [], f"of another language than {sorted(known)}, and no comment says why"


@pytest.mark.parametrize(
    ("shown", "output", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\n", "a\nb\n", False),
        ("took 0.5 s\n", "took 1.25 s\n", True),
        ("took 0.6 s\n", "took 1.25 s\n", False),
        ("a … c\n", "a b b c\n", True),
        ("a … c\n", "a\nc\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_output_is_what_is_shown_but_for_what_varies(shown: str, output: str, same: bool):
    assert shows(shown, output, ("0.5",)) is same


def test_a_console_has_commands_and_what_they_say():
    text = "$ a \\\n    b\nc\n$ d\n$ e\nf\n"
    assert list(dialogue(text)) == [("a \\\n    b", "c\n"), ("d", ""), ("e", "f\n")]


def test_a_block_that_fails_is_told_with_its_place(tmp_path: Path):
    page = blocks("page.md", "words\n\n```sh\ntrue\nfalse  # it is\n```\n")
    host = Host(SPECS[0], (), sys.executable, str(tmp_path), "", {"PATH": os.environ["PATH"]})
    with (
        Desk(host, tmp_path) as desk,
        pytest.raises(AssertionError, match=r"page.md:3: exit code 1\nfalse"),
    ):
        desk.run(page[0])
