"""The part of the contract about what a command does to what the base has: all of it arrives."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

from runcommit_core.testing.bases import EPOCH
from runcommit_core.testing.duties import Duty
from runcommit_core.testing.expectations import (
    expect_diff_id,
    expect_equal,
    expect_member,
    expect_paths,
)
from runcommit_core.testing.members import CAPABILITY
from runcommit_core.testing.oddbase import CHOWN, FILE_TIME, LINK_TIME, LONG, odd_base

if TYPE_CHECKING:
    from runcommit_core.testing.bench import Bench

_COMMANDS = (
    "cd /it && chmod 700 capable && mv owned moved && mv time new-name && touch -d @1000 suid",
    "rm -r opaque && mkdir opaque && : > opaque/new",
    "rm was-link/in; rmdir was-link && ln -s one was-link",
    "rm was-folder && mkdir was-folder && : > was-folder/in; rm -r was-file && : > was-file",
    "mkdir -p /run /var/tmp; : > /run/kept; : > /var/tmp/kept; : > /tmp/kept",
    "umask 027; mkdir private; echo p > private/file; ln private/file private/too",
    "chown -h 5:6 link; chown 7:8 private/file; rm fifo nnnnn*; truncate -s 5242880 sparse",
    "mkfifo pipe; mkdir empty; : > $(printf 'm%.0s' $(seq 250))",
)
_COMMANDS_DIFF_ID = "sha256:18df2eff7d04c9c6865f3c09d41219e6780657aa9ca4648a664599fc8fed1379"
"""The layer of these commands, on every engine: no byte of the machine's busybox is in it."""

_MODES = Duty("save", "hand over files with the modes that they have, whatever your umask is")
_OWNERS = Duty("save", "hand over files with their owners, and links with their own")
_TIMES = Duty("save", "hand over files with their own times: the core knows which to keep")
_XATTRS = Duty(
    "save", "hand over extended attributes: a file whose mode was changed has its capability still"
)
_LINKS = Duty("save", "hand over hard links as such: two names are one file, with its bytes once")
_TYPES = Duty("save", "hand over pipes, links and empty folders as what they are")
_REPLACED = Duty(
    "save",
    "hand over deletions and what took a place: a folder that was removed and made anew has nothing"
    " of what it had, also where it is opaque to your engine",
)
_BYTES = Duty("save", "hand over what the command left and nothing else, as it left it")


class ChangesContract:
    """What becomes of what was there."""

    def test_changes_of_all_kinds_arrive(self, bench: Bench) -> None:
        layer = bench.folder / "layer.tar"
        base = odd_base(bench.folder / "odd").ref
        script = "set -e; " + "; ".join(_COMMANDS)
        ran = bench.job(base, "--user", "root", "-c", script, "-o", layer)
        diff_id = expect_diff_id(ran, duty=_BYTES)
        names = {"it", *(f"it/{name}" for name in _NAMES)}
        members = expect_paths(layer, names | _TEMPORARY, _REPLACED)
        at = {name.removeprefix("it/"): member for name, member in members.items()}
        expect_member(at["was-link"], _TYPES, type=tarfile.SYMTYPE, linkname="one")
        expect_member(at["pipe"], _TYPES, type=tarfile.FIFOTYPE)
        expect_member(at["empty"], _TYPES, type=tarfile.DIRTYPE)
        expect_member(at["private"], _MODES, mode=0o750)
        expect_member(at["private/file"], _MODES, mode=0o640)
        expect_member(at["suid"], _MODES, mode=0o4755)
        expect_member(at["moved"], _OWNERS, uid=1500, gid=2001)
        expect_member(at["link"], _OWNERS, uid=5, gid=6)
        expect_member(at["private/file"], _OWNERS, uid=7, gid=8)
        expect_member(at["suid"], _TIMES, mtime=1000)
        expect_member(at["moved"], _TIMES, mtime=EPOCH)
        expect_member(at["new-name"], _TIMES, mtime=FILE_TIME)
        expect_member(at["link"], _TIMES, mtime=LINK_TIME)
        value = at["capable"].pax_headers.get(f"SCHILY.xattr.{CAPABILITY}", "")
        attribute = value.encode(errors="surrogateescape")
        expect_equal(f"the attribute {CAPABILITY} of it/capable", attribute, CHOWN, _XATTRS)
        expect_member(at["private/too"], _LINKS, type=tarfile.LNKTYPE, linkname="it/private/file")
        expect_member(at["sparse"], _BYTES, size=5 << 20)
        expect_equal("the diff_id", diff_id, _COMMANDS_DIFF_ID, _BYTES)


_TEMPORARY = {"run", "run/kept", "tmp", "tmp/kept", "var", "var/tmp", "var/tmp/kept"}
"""Names that some engines keep out of what they save, or mount over."""

_NAMES = {
    *("capable", "moved", ".wh.owned", "new-name", ".wh.time", "suid", "opaque", "opaque/new"),
    *("opaque/.wh.above", "was-link", "was-folder", "was-folder/in", "was-file"),
    *("private", "private/file", "private/too", "link", ".wh.fifo", f".wh.{LONG}", "sparse"),
    *("pipe", "empty", "m" * 250),
}
