"""The part of the contract about the base as a command finds it: as its layers say, to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runcommit_core.testing.duties import Duty
from runcommit_core.testing.oddbase import (
    DEEP,
    FILE_TIME,
    FOLDER_TIME,
    LINK_TIME,
    LOWER_TIME,
    odd_base,
)
from runcommit_core.testing.questions import Question, expect_answers

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench


def _unpacks(change: str) -> Duty:
    return Duty("load, or run if it copies the base", change)


_OWNERS = _unpacks("unpack every member with its own numeric owner and group, links as well")
_MODES = _unpacks("unpack every member with its mode, whatever umask you have and who owns it")
_TIMES = _unpacks("unpack every member with its time; a directory's comes after what is in it")
_XATTRS = _unpacks("unpack the extended attributes of pax headers (SCHILY.xattr.…) after the owner")
_LINKS = _unpacks("unpack hard links as further names of one file, and copy them as such")
_TYPES = _unpacks("unpack symbolic links and pipes as what they are; follow no link of the base's")
_OPAQUE = _unpacks("where a layer has .wh..wh..opq hide all that lower layers have in that folder")
_DELETED = _unpacks("where a layer has .wh.NAME delete what lower layers call NAME, folders too")
_REPLACED = _unpacks("where a layer has a path with another type let its own take the place")
_NAMES = _unpacks("unpack names of every length and of every byte, as pax headers have them")
_ROOT = Duty(
    "run",
    "let the root be root's own and open to every user: what mkdtemp made is closed to all others",
)

_QUESTIONS = (
    # podman's own is 0555, docker's 0755; none keeps another of the base's in every store
    Question("the root", "stat -c '%a %u:%g' /", ("755 0:0", "555 0:0"), _ROOT),
    Question("a file's owner", "stat -c %u:%g /it/owned", "1500:2001", _OWNERS),
    Question("a link's owner", "stat -c %u:%g /it/link", "1500:1600", _OWNERS),
    Question("a folder's owner", "stat -c %u:%g /it/sticky", "1500:0", _OWNERS),
    Question("a file's mode", "stat -c %a /it/owned /it/closed", "640\n0", _MODES),
    Question("a program's mode", "stat -c %a /it/suid", "4755", _MODES),
    Question("a folder's mode", "stat -c %a /it/sticky", "3777", _MODES),
    Question("a file's time", "stat -c %Y /it/time", f"{FILE_TIME}", _TIMES),
    Question("a link's time", "stat -c %Y /it/link", f"{LINK_TIME}", _TIMES),
    Question(
        "what a program with CAP_CHOWN may do",
        "su app -s /bin/sh -c '/it/busybox grep CapEff /proc/self/status'",
        "CapEff:\t0000000000000001",
        _XATTRS,
    ),
    Question("the names of one file", "stat -c %h /it/one; cat /it/two", "2\n12", _LINKS),
    Question("a link's target", "readlink /it/link", "/nowhere", _TYPES),
    Question("a pipe", "stat -c '%F %a' /it/fifo", "fifo 620", _TYPES),
    Question("an opaque folder", "ls /it/opaque", "above", _OPAQUE),
    Question("what was deleted", "for f in gone deleted; do ls -d /it/$f*; done", "", _DELETED),
    Question("a folder that was a file", "ls /it/was-file", "in", _REPLACED),
    Question("a file that was a folder", "cat /it/was-folder", "now a file", _REPLACED),
    Question("a folder that was a link", "ls /it/was-link /it/sticky/", (
        "/it/sticky/:\n\n/it/was-link:\nin", "/it/was-link:\nin\n\n/it/sticky/:"
    ), _REPLACED),
    Question("a long name", "cat /it/nnnnn*", "long", _NAMES),
    Question("a deep path", f"cat /it/{DEEP}", "deep", _NAMES),
    Question("a name with a line's end", "cat \"/it/ä b\n'\"'\"$\\'", "odd", _NAMES),
    Question(
        "a folder's time", "stat -c %Y /it /it/opaque", f"{FOLDER_TIME}\n{LOWER_TIME}", _TIMES
    ),
)  # fmt: skip


class UnpackedContract:
    """What the base is to a command."""

    def test_the_base_is_as_its_layers_say(self, bench: Bench) -> None:
        base = odd_base(bench.folder / "odd").ref
        expect_answers(bench, base, _QUESTIONS, "--user", "root")
