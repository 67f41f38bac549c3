"""What others wrote reaches no terminal, log or error as anything but text."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runcommit_core import ArchiveError, EngineError, UsageError
from runcommit_core.cli.say import PlainFormatter
from runcommit_core.mouth.plain import LONGEST, listed, one_line, paragraph
from runcommit_core.oci.base import open_base
from tests import images
from tests.test_cli import runcommit

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "\x1b[2J\x1b]0;owned\x07\r\nruncommit: error: forged\x9b31m\u202egnp.exe\udc80"
ONE = images.image(images.layer({"old": b"old"}))


@given(st.text())
def test_a_line_is_one_line_of_printable_text(text: str):
    assert one_line(text).isprintable()
    assert len(one_line(text, 10)) <= 10 + len("… (999999 more characters)")


@given(st.text(alphabet="ab \n\t\x1b\r\x85\u2028"))
def test_no_line_but_the_first_begins_where_messages_do(text: str):
    first, *more = paragraph(text).split("\n")
    assert first.isprintable()
    assert all(line.isprintable() and (not line or line.startswith("  ")) for line in more)


def test_text_that_is_fine_stays():
    for text in ("", "a b", "größer → 漢字", "a\n  command: x\n  | y"):
        assert paragraph(text) == text
    assert listed("a\nb") == "a\nb"
    assert one_line("x" * LONGEST) == "x" * LONGEST
    assert one_line("x" * (LONGEST + 7)).endswith("… (7 more characters)")


@pytest.mark.parametrize("kind", [UsageError, ArchiveError, EngineError])
def test_errors_are_fit_for_a_terminal(kind: type[UsageError]):
    error = kind(f"what {HOSTILE}", tip=HOSTILE)
    for line in (*str(error).split("\n"), error.tip):
        assert line.isprintable()
        assert not line.startswith("runcommit")


def test_the_words_of_an_engine_are_kept_whole_for_who_reads_them_in_a_program():
    error = EngineError("failed", output=HOSTILE)
    assert error.output == HOSTILE
    assert all(line.isprintable() for line in str(error).split("\n"))


def test_logs():
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    lines = PlainFormatter("runcommit: %(message)s").format(record).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not any(line.startswith("runcommit") for line in lines[1:])


@pytest.mark.parametrize("field", ["mediaType", "artifactType", "name", "os", "architecture"])
def test_what_an_image_says_of_itself(tmp_path: Path, field: str):
    files: dict[str, bytes] = {}
    entry = images.add_manifest(files, ONE)
    document = json.loads(files[images.blob_of(entry)])
    if field == "name":
        entry["annotations"] = {"org.opencontainers.image.ref.name": HOSTILE[:-1]}
    elif field in ("os", "architecture"):
        entry["platform"] = {"os": "linux", "architecture": "amd64", field: HOSTILE[:-1]}
    else:
        document[field] = HOSTILE[:-1]
        changed = images.add_blob(files, images.dumps(document), HOSTILE[:-1])
        entry = {**changed, field: HOSTILE[:-1]}
    other = images.add_manifest(files, images.image(images.layer({"b": b"b"})))
    place = images.write_directory(tmp_path / "x", images.with_index(files, [entry, other]))
    done = runcommit("image", "id", f"oci:{place}:missing")
    assert done.returncode in (2, 6), done.errors
    for line in (done.output + done.errors).splitlines():
        assert line.isprintable(), line
    assert sum(line.startswith("runcommit: error:") for line in done.errors.splitlines()) == 1
    with pytest.raises((ArchiveError, UsageError)):
        open_base(f"oci:{place}:missing")
