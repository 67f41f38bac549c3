"""File systems as text: what a layer holds, what a container saw, what an unpacker made."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tests.tars import tar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.filecases import Case

EPOCH = 1_700_000_000
_LETTERS = {
    tarfile.REGTYPE: "f",
    tarfile.LNKTYPE: "h",
    tarfile.SYMTYPE: "l",
    tarfile.CHRTYPE: "c",
    tarfile.BLKTYPE: "b",
    tarfile.DIRTYPE: "d",
    tarfile.FIFOTYPE: "p",
}
_SHORT = 16

LIST_ALL = (
    "echo; echo BEGIN LIST;"
    " find / -xdev -print0 | xargs -0 stat -c '@@ %f %u %g %Y %s %n';"
    " echo BEGIN SUMS; find / -xdev -type f -print0 | xargs -0 sha256sum; echo END; sleep 1"
)
"""Makes a container tell all that it sees, but for the target of a symlink.

Chroot isolation hands on no more once the command has ended, so that waits a moment.
"""

_ENGINES = re.compile(r"(dev|proc|sys|run|etc/(hosts|hostname|resolv\.conf|mtab)|\.dockerenv)(/|$)")


class Seen(NamedTuple):
    """A path as a process sees it; ``sha256`` is that of a regular file."""

    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    sha256: str


def layer_of(cases: Iterable[Case]) -> bytes:
    """The layer of a base that has each case's files in a directory of its name."""
    return tar(*(member for case in cases for member in case.members()))


def by_case(layer: Path) -> dict[str, list[str]]:
    """The lines of a layer by its top directories; see ``filecases`` for their form."""
    found: dict[str, list[str]] = {}
    with tarfile.open(layer) as archive:
        for member in archive:
            top, _, path = member.name.partition("/")
            lines = found.setdefault(top, [])
            line = _line(archive, member, path, f"{top}/")
            if path or line != "d 755 0:0  @1600000000":
                lines.append(line)
    return {top: sorted(lines) for top, lines in found.items()}


def lines_of(layer: Path) -> list[str]:
    """The lines of a layer, paths counted from the root."""
    with tarfile.open(layer) as archive:
        return sorted(_line(archive, member, member.name, "") for member in archive)


def _line(archive: tarfile.TarFile, member: tarfile.TarInfo, path: str, top: str) -> str:
    folder, _, name = path.rpartition("/")
    if name.startswith(".wh."):
        return f"- {folder}{'/' * bool(folder)}{name.removeprefix('.wh.')}"
    line = f"{_LETTERS[member.type]} {member.mode:o} {member.uid}:{member.gid} {path}"
    return line + "".join(_more(archive, member, top))


def _more(archive: tarfile.TarFile, member: tarfile.TarInfo, top: str) -> Iterator[str]:
    if member.linkname:
        yield f" -> {member.linkname.removeprefix(top) if member.islnk() else member.linkname}"
    if member.ischr() or member.isblk():
        yield f" {member.devmajor},{member.devminor}"
    if member.size > _SHORT:
        yield f" #{member.size}"
    elif member.size:
        content = archive.extractfile(member)
        assert content
        yield f" = {content.read().decode()}"
    if member.mtime != EPOCH:
        yield f" @{int(member.mtime)}"
    if capability := member.pax_headers.get("SCHILY.xattr.security.capability"):
        yield f" ! {capability.encode(errors='surrogateescape').hex()}"


def seen_by_container(said: str) -> dict[str, Seen]:
    """Read what :data:`LIST_ALL` printed; bytes that are no UTF-8 have become U+FFFD."""
    listed = said.partition("\nBEGIN LIST\n")[2]
    listing, _, sums = listed.partition("\nBEGIN SUMS\n")
    sums = sums.partition("\nEND\n")[0]
    digests = {
        name: digest
        for digest, name in re.findall(
            r"([0-9a-f]{64})  (.*?)(?=\n[0-9a-f]{64}  |\Z)", sums, re.DOTALL
        )
    }
    found = {}
    for item in listing.removeprefix("@@ ").split("\n@@ "):
        mode, uid, gid, mtime, size, name = item.split(" ", 5)
        _put(
            found,
            name.removeprefix("/"),
            (int(mode, 16), int(uid), int(gid), int(mtime), int(size)),
            digests.get(name, ""),
        )
    return found


def seen_on_disk(root: Path) -> dict[str, Seen]:
    """The same of a folder."""
    found: dict[str, Seen] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for item in (*folders, *files):
            path = os.path.join(folder, item)  # noqa: PTH118 - bytes
            at = os.lstat(path)
            digest = ""
            if stat.S_ISREG(at.st_mode):
                digest = sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest()
            name = os.path.relpath(path, top).decode(errors="replace")
            numbers = (at.st_mode, at.st_uid, at.st_gid, at.st_mtime_ns // 10**9, at.st_size)
            _put(found, name, numbers, digest)
    return found


def _put(
    found: dict[str, Seen], name: str, numbers: tuple[int, int, int, int, int], digest: str
) -> None:
    """Leave out what engines make, the time and the size of directories, later times.

    Engines unpack what is older than 1970 as of 1970.
    """
    if not name or _ENGINES.match(name):
        return
    mode, uid, gid, mtime, size = numbers
    if stat.S_ISDIR(mode):
        mtime = size = 0
    found[name] = Seen(mode, uid, gid, max(0, min(mtime, EPOCH)), size, digest)


@contextlib.contextmanager
def deep_directories(top: Path) -> Iterator[int]:
    """Directories in directories, ``top`` the first, deeper than Python's calls may be; how many.

    They go again, which pytest could not do.
    """
    depth, path = 1200, os.fspath(top)
    for _ in range(depth):
        os.mkdir(path)  # noqa: PTH102 - pathlib makes the parents by calling itself
        path += "/d"
    yield depth
    subprocess.run(["rm", "-rf", top], check=True)
