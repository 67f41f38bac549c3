"""What a command can do to a file system, as data: a base, commands, and the layer they owe.

An expected line is ``TYPE MODE UID:GID PATH`` and what else there is to say: ``-> TARGET`` of a
link, ``= CONTENT`` of a short file, ``#SIZE`` of a long one, ``@MTIME`` where it is not the epoch,
``! CAPABILITY``.  The type is that of ``ls -l``, ``h`` a hardlink, ``-`` a whiteout.  Paths count
from the case's own directory, which is left out where it is an ancestor like it was.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.tars import Member, directory, hardlink, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD = 1_600_000_000
"""The mtime of what the base has, in seconds; new things are clamped to ``EPOCH``."""

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
"""cap_net_raw=ep, version 2."""

FAR = 9_000_000_000
TREE = (directory(b"d"), Member(b"d/a", content=b"a"), directory(b"d/sub"), Member(b"d/sub/b"))
FILE = Member(b"f", content=b"old")
LONG = "l" * 120
DEEP = f"{LONG}/{LONG}/{LONG}"
WIDE = 5000


@dataclass(frozen=True, slots=True)
class Case:
    """Commands that run in the case's own directory, which has its name and holds ``base``."""

    name: str
    commands: str
    expected: tuple[str, ...] = ()
    base: tuple[Member, ...] = ()

    def members(self) -> Iterator[Member]:
        """The case's directory and what is in it, as members of a layer."""
        top = self.name.encode()
        yield directory(top)
        for member in self.base:
            link = b"%b/%b" % (top, member.link) if member.type == b"1" else member.link
            yield replace(member, name=b"%b/%b" % (top, member.name), link=link)

    @property
    def script(self) -> str:
        return f"set -e; cd /{self.name}; {self.commands}"


def capable(name: bytes) -> Member:
    pax = {b"SCHILY.xattr.security.capability": CAPABILITY}
    return Member(name, content=b"x", mode=0o755, pax=pax)


EVERYWHERE = (
    Case("nothing", "true", base=(FILE,)),
    Case(
        "types",
        "echo -n x > file; mkdir dir; ln -s file link; mkfifo pipe; chmod 644 pipe; : > empty",
        (
            "d 755 0:0 dir",
            "f 644 0:0 empty",
            "f 644 0:0 file = x",
            "l 777 0:0 link -> file",
            "p 644 0:0 pipe",
        ),
    ),
    Case(
        "special-modes",
        "for m in 4755 2755 1777 6711 0 7777; do"
        " : > f$m; chmod $m f$m; mkdir d$m; chmod $m d$m; done",
        tuple(
            f"{kind} {mode} 0:0 {kind}{mode}"
            for kind in "df"
            for mode in ("0", "1777", "2755", "4755", "6711", "7777")
        ),
    ),
    Case(
        "setuid-kept-by-rename",
        "mv s t",
        ("- s", "f 4755 0:0 t = x @1600000000"),
        (Member(b"s", content=b"x", mode=0o4755),),
    ),
    Case(
        "capability-renamed",
        "mv c d",
        ("- c", f"f 755 0:0 d = x @1600000000 ! {CAPABILITY.hex()}"),
        (capable(b"c"),),
    ),
    Case(
        "capability-linked",
        "ln c d",
        (f"f 755 0:0 c = x @1600000000 ! {CAPABILITY.hex()}", "h 755 0:0 d -> c @1600000000"),
        (capable(b"c"),),
    ),
    Case(
        "capability-mode",
        "chmod 750 c",
        (f"f 750 0:0 c = x @1600000000 ! {CAPABILITY.hex()}",),
        (capable(b"c"),),
    ),
    Case("capability-lost-by-write", "echo -n y > c", ("f 755 0:0 c = y",), (capable(b"c"),)),
    Case("capability-kept", "chmod 755 c", (), (capable(b"c"),)),
    Case(
        "links-in-the-layer",
        "echo -n x > z; ln z a; mkdir m; ln z m/b; ln -s z s; ln s t;"
        " mkfifo p; chmod 644 p; ln p q",
        (
            "f 644 0:0 a = x",
            "d 755 0:0 m",
            "h 644 0:0 m/b -> a",
            "p 644 0:0 p",
            "h 644 0:0 q -> p",
            "l 777 0:0 s -> z",
            "h 777 0:0 t -> s",
            "h 644 0:0 z -> a",
        ),
    ),
    Case(
        "link-onto-base",
        "ln f g",
        ("f 644 0:0 f = old @1600000000", "h 644 0:0 g -> f @1600000000"),
        (FILE,),
    ),
    Case(
        "replaced-by-link-to-base",
        "ln -f f g",
        ("f 644 0:0 f = old @1600000000", "h 644 0:0 g -> f @1600000000"),
        (FILE, Member(b"g", content=b"other")),
    ),
    Case(
        "base-link-broken",
        "cp -p f x; rm f; mv x f",
        (),
        (FILE, hardlink(b"g", b"f")),
    ),
    Case(
        "base-link-deleted",
        "rm g",
        ("- g",),
        (FILE, hardlink(b"g", b"f")),
    ),
    Case(
        "directory-renamed",
        "mv d e",
        (
            "- d",
            "d 755 0:0 e @1600000000",
            "f 644 0:0 e/a = a @1600000000",
            "d 755 0:0 e/sub @1600000000",
            "f 644 0:0 e/sub/b @1600000000",
        ),
        TREE,
    ),
    Case(
        "directory-emptied",
        "rm -r d; mkdir d",
        ("d 755 0:0 d @1600000000", "- d/a", "- d/sub"),
        TREE,
    ),
    Case(
        "directory-again-with-less",
        "rm -r d; mkdir d; echo -n n > d/a",
        ("d 755 0:0 d @1600000000", "f 644 0:0 d/a = n", "- d/sub"),
        TREE,
    ),
    Case(
        "directory-again-with-other",
        "rm -r d; mkdir -p d/sub; echo -n n > d/sub/n; mkdir d/a",
        (
            "d 755 0:0 d @1600000000",
            "d 755 0:0 d/a",
            "d 755 0:0 d/sub @1600000000",
            "- d/sub/b",
            "f 644 0:0 d/sub/n = n",
        ),
        TREE,
    ),
    Case(
        "directory-again-the-same",
        "rm -r d; mkdir -p d/sub; echo -n a > d/a; : > d/sub/b; touch -d @1600000000 d/a d/sub/b",
        (),
        TREE,
    ),
    Case("file-to-directory", "rm f; mkdir f; : > f/i", ("d 755 0:0 f", "f 644 0:0 f/i"), (FILE,)),
    Case("file-to-symlink", "rm f; ln -s g f", ("l 777 0:0 f -> g",), (FILE,)),
    Case("file-to-fifo", "rm f; mkfifo f; chmod 644 f", ("p 644 0:0 f",), (FILE,)),
    Case("directory-to-file", "rm -r d; echo -n x > d", ("f 644 0:0 d = x",), TREE),
    Case("directory-to-symlink", "rm -r d; ln -s e d", ("l 777 0:0 d -> e",), TREE),
    Case(
        "symlink-to-directory",
        "rm s; mkdir s; : > s/i",
        ("d 755 0:0 s", "f 644 0:0 s/i"),
        (symlink(b"s", b"nowhere"),),
    ),
    Case(
        "symlink-to-file", "rm s; echo -n x > s", ("f 644 0:0 s = x",), (symlink(b"s", b"nowhere"),)
    ),
    Case(
        "symlink-retargeted",
        "ln -sfn there s",
        ("l 777 0:0 s -> there",),
        (symlink(b"s", b"where"),),
    ),
    Case("same-mode", "chmod 644 f; chmod 755 d", (), (FILE, *TREE)),
    Case("same-bytes-and-time", "echo -n old > f; touch -d @1600000000 f", (), (FILE,)),
    Case("same-bytes-now", "echo -n old > f", ("f 644 0:0 f = old",), (FILE,)),
    Case(
        "same-size-and-second",
        "echo -n new > f; touch -d @1600000000 f",
        ("f 644 0:0 f = new @1600000000",),
        (FILE,),
    ),
    Case("time-only", "touch -d @1500000000 f", ("f 644 0:0 f = old @1500000000",), (FILE,)),
    Case("directory-time-only", "touch d; : > d/x; rm d/x", (), TREE),
    Case(
        "owner",
        "chown 1000:50 f; chown -h 7:8 s; chown 1:2 d",
        (
            "d 755 1:2 d @1600000000",
            "f 644 1000:50 f = old @1600000000",
            "l 777 7:8 s -> f @1600000000",
        ),
        (FILE, directory(b"d"), symlink(b"s", b"f")),
    ),
    Case("mode", "chmod 4711 f", ("f 4711 0:0 f = old @1600000000",), (FILE,)),
    Case("directory-mode", "chmod 1700 d", ("d 1700 0:0 d @1600000000",), TREE),
    Case(
        "long-names",
        f"mkdir -p {DEEP}; echo -n x > {DEEP}/f; ln {DEEP}/f g; ln -s {DEEP}/f s",
        (
            "f 644 0:0 g = x",
            f"d 755 0:0 {LONG}",
            f"d 755 0:0 {LONG}/{LONG}",
            f"d 755 0:0 {DEEP}",
            f"h 644 0:0 {DEEP}/f -> g",
            f"l 777 0:0 s -> {DEEP}/f",
        ),
    ),
    Case("longest-name", f": > {'n' * 255}", (f"f 644 0:0 {'n' * 255}",)),
    Case(
        "odd-names",
        r"""IFS=; for n in "$(printf 'a\nb')" 'a b' ' ' -rf '*' '\' '"' "'" """
        r""""$(printf '\377\376')" é a.wh.b wh. .wh .w '?'; do : > ./"$n"; done""",
        tuple(
            f"f 644 0:0 {name}"
            for name in (
                " ",
                '"',
                "'",
                "*",
                "-rf",
                ".w",
                ".wh",
                "?",
                "\\",
                "a\nb",
                "a b",
                "a.wh.b",
                "wh.",
                "\u00e9",
                "\udcff\udcfe",
            )
        ),
    ),
    Case("sparse", "truncate -s 1048576 f; echo -n end >> f", ("f 644 0:0 f #1048579",)),
    Case(
        "extreme-times",
        "chmod 600 neg far; touch -d '1969-12-31 00:00:00' new; touch -d '2100-01-01 00:00' late",
        (f"f 600 0:0 far @{FAR}", "f 644 0:0 late", "f 600 0:0 neg @-5", "f 644 0:0 new @-86400"),
        (Member(b"neg", mtime=-5), Member(b"far", mtime=FAR)),
    ),
    Case(
        "wide",
        f"mkdir w; cd w; seq {WIDE} | xargs touch",
        ("d 755 0:0 w", *(f"f 644 0:0 w/{number}" for number in range(1, WIDE + 1))),
    ),
    Case("temporary", "mkdir -p t/u; echo x > t/u/v; echo x > /tmp/v; rm -r t /tmp/v", ()),
    Case(
        "nested-deletes",
        "rm d/a d/sub/b",
        ("d 755 0:0 d @1600000000", "- d/a", "d 755 0:0 d/sub @1600000000", "- d/sub/b"),
        TREE,
    ),
    Case("deleted-tree", "rm -r d", ("- d",), TREE),
    Case(
        "empty-directories", "mkdir -p e/f/g", ("d 755 0:0 e", "d 755 0:0 e/f", "d 755 0:0 e/f/g")
    ),
    Case(
        "file-over-renamed",
        "mv f g; echo -n n > f",
        ("f 644 0:0 f = n", "f 644 0:0 g = old @1600000000"),
        (FILE,),
    ),
    Case(
        "swapped",
        "mv f x; mv g f; mv x g",
        ("f 644 0:0 f = two @1600000000", "f 644 0:0 g = old @1600000000"),
        (FILE, Member(b"g", content=b"two")),
    ),
    Case("appended", "echo -n er >> f", ("f 644 0:0 f = older",), (FILE,)),
    Case("truncated", ": > f", ("f 644 0:0 f",), (FILE,)),
)

ROOT_ONLY = (
    Case(
        "devices",
        "mknod c c 1 3; mknod b b 7 300; ln c d",
        ("b 644 0:0 b 7,300", "c 644 0:0 c 1,3", "h 644 0:0 d -> c"),
    ),
    Case(
        "large-ids",
        "echo -n x > f; chown 3000000:4000000 f; mkdir d; chown 2097152:0 d",
        ("d 755 2097152:0 d", "f 644 3000000:4000000 f = x"),
    ),
)
"""What a user namespace of 65536 ids without CAP_MKNOD over devices does not permit."""
