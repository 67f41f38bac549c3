"""The strict tar reader: what it understands, and that it refuses everything else."""

from __future__ import annotations

import io
import subprocess
import tarfile

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.tar.reader import Kind, TarEntry, TarReader
from tests.tars import (
    END,
    Member,
    blocks,
    directory,
    hardlink,
    header,
    padded,
    record,
    symlink,
    tar,
)


class OneWay(io.BytesIO):
    def seekable(self) -> bool:
        return False

    def seek(self, *_: object) -> int:
        raise AssertionError("sought")


def read(data: bytes) -> list[TarEntry]:
    return list(TarReader(io.BytesIO(data), name="some.tar"))


def only(data: bytes) -> TarEntry:
    (entry,) = read(data)
    return entry


def test_every_kind():
    entries = read(
        tar(
            directory(b"d", mode=0o1777),
            Member(b"d/file", content=b"x" * 700, mode=0o104755, uid=5, gid=6, mtime=7),
            hardlink(b"d/hard", b"./d//file"),
            symlink(b"d/sym", b"/a//b/../c"),
            Member(b"d/char", b"3", device=(1, 3)),
            Member(b"d/block", b"4", device=(8, 1)),
            Member(b"d/fifo", b"6"),
            Member(b"old", b"\0", content=b"1"),
            Member(b"contiguous", b"7", content=b"1"),
            Member(b"olddir/", b"\0"),
        )
    )
    assert [(e.path, e.kind) for e in entries] == [
        (b"d", Kind.DIRECTORY),
        (b"d/file", Kind.REGULAR),
        (b"d/hard", Kind.HARDLINK),
        (b"d/sym", Kind.SYMLINK),
        (b"d/char", Kind.CHARACTER),
        (b"d/block", Kind.BLOCK),
        (b"d/fifo", Kind.FIFO),
        (b"old", Kind.REGULAR),
        (b"contiguous", Kind.REGULAR),
        (b"olddir", Kind.DIRECTORY),
    ]
    file = entries[1]
    assert (file.mode, file.uid, file.gid, file.mtime, file.size) == (0o4755, 5, 6, 7, 700)
    assert entries[0].mode == 0o1777
    assert entries[2].link == b"d/file"
    assert entries[3].link == b"/a//b/../c"
    assert (entries[4].major, entries[4].minor) == (1, 3)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        (b"./a/b", b"a/b"),
        (b"a//b/./c/", b"a/b/c"),
        (b".hidden/x", b".hidden/x"),
        (b"a/..b", b"a/..b"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"./", b""),
        (b"/", b""),
        (b"", b""),
        (b".", b""),
        (b"/etc/x", b"etc/x"),
        (b"///etc//x/", b"etc/x"),
        (b".//etc/x", b"etc/x"),
        (b"./.hidden", b".hidden"),
        (b"a/../b", b"b"),
        (b"a/b/../../c/./..//d/", b"d"),
        (b"a/..", b""),
        (b"/../etc/x", b"etc/x"),
        (b"/a/../../etc/x", b"etc/x"),
        (b"d/.wh." + b"n" * 255, b"d/.wh." + b"n" * 255),
    ],
)
def test_paths_are_normalised(name, path):
    assert only(tar(Member(name, b"5"))).path == path


@pytest.mark.parametrize("link", [b"/d/f", b"./d/f", b"d//f", b"x/../d/f", b"d/f"])
def test_targets_of_hardlinks_are_normalised(link):
    assert only(tar(hardlink(b"h", link))).link == b"d/f"


SEGMENTS = [(700, b"a" * 900), (5000, b""), (8192, b"end\n")]
WHOLE = bytes(700) + b"a" * 900 + bytes(8192 - 1600) + b"end\n" + bytes(100)


def sparse_00() -> bytes:
    """Python's own record() keeps one value per key, so the records are written one by one."""
    records = record(b"GNU.sparse.size", b"8296") + record(b"GNU.sparse.numblocks", b"3")
    for offset, data in SEGMENTS:
        records += record(b"GNU.sparse.offset", b"%d" % offset)
        records += record(b"GNU.sparse.numbytes", b"%d" % len(data))
    return blocks(Member(b"x", b"x", records)) + blocks(Member(b"d/f", content=STORED))


STORED = b"".join(data for _, data in SEGMENTS)
NUMBERS = [number for offset, data in SEGMENTS for number in (offset, len(data))]
MAP = b"".join(b"%d\n" % number for number in (3, *NUMBERS))
SPARSE = {
    "0.0": sparse_00(),
    "0.1": blocks(
        Member(
            b"GNUSparseFile.0/f",
            content=STORED,
            pax={
                b"GNU.sparse.name": b"d/f",
                b"GNU.sparse.size": b"8296",
                b"GNU.sparse.numblocks": b"3",
                b"GNU.sparse.map": b",".join(b"%d" % number for number in NUMBERS),
            },
        )
    ),
    "1.0": blocks(
        Member(
            b"GNUSparseFile.0/f",
            content=padded(MAP) + STORED,
            pax={
                b"GNU.sparse.major": b"1",
                b"GNU.sparse.minor": b"0",
                b"GNU.sparse.name": b"d/f",
                b"GNU.sparse.realsize": b"8296",
            },
        )
    ),
}


@pytest.mark.parametrize("stream", [io.BytesIO, OneWay])
@pytest.mark.parametrize("version", SPARSE)
def test_sparse_files_are_whole(version, stream):
    data = tar(Member(b"a"), end=b"") + SPARSE[version] + tar(Member(b"z", content=b"after"))
    reader = TarReader(stream(data), name="t")
    found = [(e.path, e.size, b"".join(reader.chunks())) for e in reader]
    assert found == [(b"a", 0, b""), (b"d/f", 8296, WHOLE), (b"z", 5, b"after")]
    entries = read(data)
    assert [e.end for e in entries[:-1]] == [512, len(data) - 2048]
    assert [e.path for e in entries] == [b"a", b"d/f", b"z"]


@pytest.mark.parametrize("sparse", [[], ["--sparse-version=0.0"], ["--sparse-version=0.1"]])
def test_what_gnu_tar_writes_of_a_sparse_file(sparse, tmp_path):
    with (tmp_path / "lastlog").open("wb") as file:
        for at in range(0, 60 << 20, 1 << 20):
            file.seek(at)
            file.write(b"%d" % at)
        file.truncate(61 << 20)
    command = ["tar", "-C", str(tmp_path), "-cS", "--format=pax", *sparse, "lastlog"]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    assert len(made) < 1 << 20
    reader = TarReader(io.BytesIO(made), name="t")
    contents = [(e.path, b"".join(reader.chunks())) for e in reader]
    assert contents == [(b"lastlog", (tmp_path / "lastlog").read_bytes())]


def test_a_sparse_version_that_nobody_knows_is_a_plain_file():
    pax = {b"GNU.sparse.major": b"2", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"other"}
    assert only(tar(Member(b"f", content=b"x", pax=pax)))[:8:7] == (b"f", 1)


def test_ustar_prefix():
    assert only(tar(Member(b"name", fields={345: b"some/prefix"}))).path == b"some/prefix/name"


def test_a_prefix_beside_gnu_numbers_is_that_of_an_old_go():
    assert only(tar(Member(b"f", gnu=True, fields={345: b"some/dir"}))).path == b"some/dir/f"
    times = {345: b"13602760401\x0013602760401\0"}
    assert only(tar(Member(b"f", gnu=True, fields=times))).path == b"f"
    assert only(tar(Member(b"f", gnu=True, fields={345: b"\xff" * 24}))).path == b"f"


def test_v7_has_neither_prefix_nor_device():
    member = Member(b"name", b"3", fields={257: bytes(8), 329: b"zzzzzzzz", 345: b"junk"})
    entry = only(tar(member))
    assert (entry.path, entry.major) == (b"name", 0)


@pytest.mark.parametrize("gnu", [False, True])
def test_long_names(gnu):
    name, target = b"n" * 150 + b"/" + b"m" * 60, b"t" * 200
    assert only(tar(symlink(name, target, gnu=gnu)))[:1] == (name,)
    assert only(tar(symlink(name, target, gnu=gnu))).link == target


def test_base_256_numbers():
    fields = {
        108: b"\x80\0\0\0\0\x98\x96\x80",
        136: b"\xff" * 11 + b"\xfb",
    }
    entry = only(tar(Member(b"f", gnu=True, fields=fields)))
    assert (entry.uid, entry.mtime) == (10_000_000, -5)


def test_pax_records():
    pax = {
        b"path": b"p\xc3\xa4th/with\nnewline",
        b"uid": b"3000000",
        b"mtime": b"-1.5",
        b"SCHILY.xattr.security.capability": b"\1\0\0\2=\n\0",
        b"SCHILY.xattr.user.empty": b"",
        b"comment": b"ignored",
    }
    entry = only(tar(Member(b"short", pax=pax)))
    assert entry.path == b"p\xc3\xa4th/with\nnewline"
    assert (entry.uid, entry.mtime) == (3_000_000, -2)
    assert entry.xattrs == {b"security.capability": b"\1\0\0\2=\n\0"}


def test_pax_size_counts():
    data = record(b"size", b"3")
    member = Member(b"f", content=b"", fields={124: b"00000000000"})
    raw = blocks(Member(b"x", b"x", data)) + header(member) + padded(b"abc") + END
    reader = TarReader(io.BytesIO(raw), name="t")
    assert [(e.size, b"".join(reader.chunks())) for e in reader] == [(3, b"abc")]


@pytest.mark.parametrize("mtime", [(b"1.999", 1), (b"-1.0", -1), (b"-0.5", -1), (b"7.", 7)])
def test_pax_times_are_floored(mtime):
    assert only(tar(Member(b"f", pax={b"mtime": mtime[0]}))).mtime == mtime[1]


def test_global_headers_are_ignored():
    data = tar(Member(b"g", b"g", record(b"path", b"evil")), Member(b"f"))
    assert only(data).path == b"f"
    assert read(tar(Member(b"g", b"g", record(b"comment", b"x")))) == []


@pytest.mark.parametrize("stream", [io.BytesIO, OneWay])
def test_content(stream):
    big = bytes(range(256)) * 4000
    data = tar(
        Member(b"skipped", content=big), Member(b"read", content=b"abc"), Member(b"b", content=big)
    )
    reader = TarReader(stream(data), name="t")
    contents = {e.path: b"".join(reader.chunks()) for e in reader if e.path != b"skipped"}
    assert contents == {b"read": b"abc", b"b": big}
    for entry in read(data):
        content = big if entry.size > 3 else b"abc"
        assert data[entry.data_offset :][: entry.size] == content


def test_content_read_in_part_is_skipped():
    reader = TarReader(io.BytesIO(tar(Member(b"a", content=b"x" * 300_000), Member(b"b"))), name="")
    iterator = iter(reader)
    next(iterator)
    next(reader.chunks())
    assert next(iterator).path == b"b"


def test_stream_that_starts_late():
    stream = io.BytesIO(b"head" + tar(Member(b"a", content=b"x" * 600_000), Member(b"b")))
    stream.seek(4)
    assert [e.path for e in TarReader(stream, name="t")] == [b"a", b"b"]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_what_tarfile_writes(format_):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format_) as archive:
        for name in ("a", "dir/" + "b" * 90, "dir/" * 20 + "c" * 90):
            info = tarfile.TarInfo(name)
            info.size = 5
            archive.addfile(info, io.BytesIO(b"12345"))
    entries = read(stream.getvalue())
    assert [len(e.path) for e in entries] == [1, 94, 170]


ENDS = {
    "nothing": b"",
    "one block": bytes(512),
    "two blocks": bytes(1024),
    "a record": bytes(10240),
    "odd": bytes(1500),
    "junk": END + b"junk" * 1000,
    "another tar": END + tar(Member(b"second", content=b"x" * 300_000)),
    "a header of nothing": blocks(Member(b"x", b"x", record(b"path", b"y"))),
    "a header of nothing, and blocks": blocks(Member(b"x", b"x", record(b"path", b"y"))) + END,
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_accepted_ends(end):
    assert only(tar(Member(b"f", content=b"x"), end=end)).path == b"f"
    assert read(end) == []


@pytest.mark.parametrize("size", [600, 700_000])
@pytest.mark.parametrize("padding", [0, 1, 300])
@pytest.mark.parametrize("stream", [io.BytesIO, OneWay])
def test_the_last_padding_may_be_missing(stream, padding, size):
    data = raw_content(size) + bytes(padding)
    assert [e.size for e in TarReader(stream(data), name="t")] == [size]
    reader = TarReader(stream(data), name="t")
    assert [len(b"".join(reader.chunks())) for _ in reader] == [size]


def raw_content(size: int) -> bytes:
    return blocks(Member(b"a", content=b"x" * size))[: 512 + size]


def test_all_that_follows_the_end_is_read():
    """A hash taken of the stream must be that of the whole."""
    stream = OneWay(tar(Member(b"a")) + b"junk" * 100_000)
    assert [e.path for e in TarReader(stream, name="t")] == [b"a"]
    assert stream.read() == b""


def _bad_sparse(**records: bytes) -> bytes:
    pax = {
        b"GNU.sparse.size": b"600",
        b"GNU.sparse.numblocks": b"2",
        b"GNU.sparse.map": b"0,1,500,2",
        **{f"GNU.sparse.{key}".encode(): value for key, value in records.items()},
    }
    return tar(Member(b"a", content=b"xyz", pax=pax))


def _bad_map(text: bytes, size: int = 0) -> bytes:
    pax = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.realsize": b"%d" % size,
    }
    return tar(Member(b"a", content=padded(text), pax=pax))


def _bad_pax(data: bytes) -> bytes:
    return tar(Member(b"x", b"x", data), Member(b"f"))


REFUSED = {
    "checksum": (
        tar(Member(b"a"), end=b"") + header(Member(b"b")).replace(b"b", b"c", 1) + END,
        "byte 512: header checksum",
    ),
    "one zero block": (
        tar(Member(b"a"), end=bytes(512)) + tar(Member(b"b")),
        "byte 1024: a header after a zero block",
    ),
    "half a zero block": (tar(Member(b"a"), end=bytes(700)), "byte 1024: truncated header"),
    "short header": (tar(Member(b"a"), end=b"") + b"x" * 100, "byte 512: truncated header"),
    "short content": (tar(Member(b"a", content=b"x" * 600))[:1100], "truncated content"),
    "one byte less": (raw_content(600)[:-1], "truncated content"),
    "one byte of many less": (raw_content(900_000)[:-1], "truncated content"),
    "far end": (tar(Member(b"a", content=b"x" * 900_000))[:1000], "truncated content"),
    "short pax": (tar(Member(b"x", b"x", record(b"path", b"y" * 900)))[:700], "extended header"),
    "two pax": (
        tar(*[Member(b"x", b"x", record(b"path", b"y"))] * 2, Member(b"a")),
        "two extended headers",
    ),
    "pax and gnu": (
        tar(Member(b"x", b"x", record(b"path", b"y")), Member(b"n" * 101, gnu=True)),
        "both PAX and GNU",
    ),
    "dotdot": (tar(Member(b"../b")), r"'\.\.' leads out of the root"),
    "dotdot inside": (tar(Member(b"a/../../b")), r"'\.\.' leads out of the root"),
    "dotdot behind a dot": (tar(Member(b"./../b")), r"'\.\.' leads out of the root"),
    "dotdot alone": (tar(Member(b"..", b"5")), r"'\.\.'"),
    "no name": (tar(Member(b"")), "without a name"),
    "root file": (tar(Member(b"./")), "without a name"),
    "root link": (tar(symlink(b"a/..", b"b")), "without a name"),
    "flag": (tar(Member(b"a", b"V")), "byte 0: unknown typeflag"),
    "sparse": (tar(Member(b"a", b"S")), "sparse"),
    "sparse directory": (
        tar(Member(b"a/", b"5", pax={b"GNU.sparse.numblocks": b"1", b"GNU.sparse.map": b"0,0"})),
        "a sparse file that is no file",
    ),
    "sparse map": (_bad_sparse(map=b"0,1,500"), "malformed PAX|another length"),
    "sparse map of nothing": (_bad_sparse(map=b",,,"), "malformed number"),
    "sparse sign": (_bad_sparse(map=b"0,1,+500,2"), "malformed number"),
    "sparse count": (_bad_sparse(numblocks=b"3"), "another length"),
    "sparse overlap": (_bad_sparse(map=b"0,2,1,1"), "overlap"),
    "sparse order": (_bad_sparse(map=b"500,2,0,1"), "overlap"),
    "sparse beyond": (_bad_sparse(size=b"501"), "beyond its end"),
    "sparse too little": (_bad_sparse(map=b"0,1,500,1"), "not what is stored"),
    "sparse too much": (_bad_sparse(map=b"0,2,500,2"), "not what is stored"),
    "sparse huge": (_bad_sparse(size=b"%d" % (1 << 41)), "above 1 TiB"),
    "sparse number": (_bad_sparse(size=b"9" * 30), "malformed number"),
    "sparse pairs": (
        _bad_pax(record(b"GNU.sparse.numbytes", b"1") + record(b"GNU.sparse.offset", b"1")),
        "malformed PAX record b'GNU.sparse.numbytes'",
    ),
    "sparse comma": (_bad_pax(record(b"GNU.sparse.offset", b"1,2")), "malformed PAX record"),
    "sparse text": (_bad_map(b"1\n0\nx\n"), "malformed number"),
    "sparse endless": (_bad_map(b"9\n0\n"), "has no end"),
    "sparse empty": (_bad_map(b""), "has no end"),
    "sparse no count": (_bad_map(b"\n"), "malformed number"),
    "long path": (tar(Member(b"a/" * 2100)), "above 4096"),
    "long component": (tar(Member(b"a" * 256)), "above 255"),
    "long link": (tar(symlink(b"a", b"b" * 5000)), "above 4096"),
    "no target": (tar(symlink(b"a", b"")), "without a target"),
    "hardlink up": (tar(hardlink(b"a", b"../b")), r"'\.\.'"),
    "long whiteout": (tar(Member(b".wh." + b"a" * 256)), "above 255"),
    "octal": (tar(Member(b"a", fields={124: b"0000000009 "})), "malformed number"),
    "sign": (tar(Member(b"a", fields={124: b"-0000000001"})), "malformed number"),
    "underscore": (tar(Member(b"a", fields={100: b"0_0644 "})), "malformed number"),
    "negative size": (tar(Member(b"a", fields={124: b"\xff" * 12})), "negative"),
    "huge size": (tar(Member(b"a", fields={124: b"\x80" + b"\xff" * 11})), "out of range"),
    "extended size": (
        tar(Member(b"x", b"x", fields={124: b"00004000001"}), Member(b"a")),
        "above 1 MiB",
    ),
    "pax nul path": (_bad_pax(record(b"path", b"a\0b")), "NUL in PAX"),
    "pax nul link": (_bad_pax(record(b"linkpath", b"a\0b")), "NUL in PAX"),
    "pax nul key": (_bad_pax(record(b"SCHILY.xattr.user.\0", b"a")), "NUL in PAX"),
    "pax length": (_bad_pax(b"99 path=a\n"), "malformed PAX record"),
    "pax short": (_bad_pax(b"5 path=a\n"), "malformed PAX record"),
    "pax no newline": (_bad_pax(b"9 path=ab"), "malformed PAX record"),
    "pax no equals": (_bad_pax(b"8 pathX\n"), "malformed PAX record"),
    "pax no key": (_bad_pax(b"6 =ab\n"), "malformed PAX record"),
    "pax zero": (_bad_pax(b"0 \n"), "malformed PAX record"),
    "pax padding inside": (_bad_pax(record(b"path", b"a") + b"\0"), "malformed PAX record"),
    "pax uid": (_bad_pax(record(b"uid", b"-5")), "malformed PAX uid"),
    "pax size": (_bad_pax(record(b"size", b"0x5")), "malformed PAX size"),
    "pax mtime": (_bad_pax(record(b"mtime", b"1e5")), "malformed PAX mtime"),
    "global": (tar(Member(b"g", b"g", b"junk"), Member(b"a")), "malformed PAX record"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("stream", [io.BytesIO, OneWay])
def test_refused(case, stream):
    data, reason = REFUSED[case]
    with pytest.raises(ArchiveError, match=reason) as caught:
        list(TarReader(stream(data), name="some.tar"))
    assert str(caught.value).startswith("some.tar: byte ")
