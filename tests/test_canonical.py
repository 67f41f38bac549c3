"""The canonical layer, rule by rule; the sections are those of its specification."""

from __future__ import annotations

import functools
import io

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.canonical import Policy
from runcommit_core.layer.changes import TarChanges
from runcommit_core.layer.validate import validate_form
from runcommit_core.tar.header import Attributes, header
from runcommit_core.tar.reader import Kind
from tests import layers
from tests.layers import EPOCH, Listed, listing, names
from tests.tars import END, Member, directory, hardlink, record, symlink, tar

OLD = 1_577_836_800
LATE = EPOCH + 5000


@pytest.fixture
def changed(tmp_path):
    return functools.partial(layers.changed, tmp_path)


@pytest.fixture
def canonical(tmp_path):
    def run(base, *raw, **policy):
        return layers.canonical(
            tmp_path,
            [tar(*base)],
            [tar(*members) for members in raw],
            Policy(EPOCH, **policy),
        )

    return run


# --- headers (section 6)


def attributes(kind=Kind.REGULAR, mode=0o644, mtime=0, size=0, **more):
    plain = Attributes(kind, mode, 0, 0, mtime, b"", size, 0, 0, {})
    return plain._replace(**more)


def test_header_of_a_directory():
    block = header(b"data", attributes(Kind.DIRECTORY, 0o755, 1577836801))
    assert len(block) == 512
    assert block[:6] == b"data/\0"
    assert block[136:148] == b"13602760401\0"
    assert block[148:156] == b"010154\0 "
    assert block[257:265] == b"ustar\x0000"
    assert block[265:329] == bytes(64)
    assert block[329:345] == b"0000000\x000000000\0"
    assert block[345:] == bytes(167)


def test_header_of_a_long_name():
    blocks = header(b"data/new/" + b"0" * 120, attributes(size=5, mtime=1700000000))
    assert len(blocks) == 3 * 512
    assert blocks[:16] == b"././@PaxHeader\0\0"
    assert blocks[148:156] == b"011467\0 "
    assert blocks[512:].startswith(b"139 path=data/new/" + b"0" * 120 + b"\n\0")
    assert blocks[1024:1124] == b"data/new/" + b"0" * 91
    assert blocks[1024 + 136 : 1024 + 148] == b"14524770400\0"
    assert blocks[1024 + 148 : 1024 + 156] == b"021366\0 "


def test_records_are_sorted_and_only_those_needed():
    odd = attributes(
        Kind.SYMLINK,
        uid=0o10000000,
        gid=3,
        mtime=-1,
        link=b"\xff",
        xattrs={b"user.b": b"\0=\n", b"security.capability": b"1"},
    )
    blocks = header(b"n\n", odd)
    size = int(blocks[124:135], 8)
    assert blocks[512 : 512 + size] == b"".join(
        (
            record(b"SCHILY.xattr.security.capability", b"1"),
            record(b"SCHILY.xattr.user.b", b"\0=\n"),
            record(b"linkpath", b"\xff"),
            record(b"mtime", b"-1"),
            record(b"path", b"n\n"),
            record(b"uid", b"2097152"),
        )
    )
    block = blocks[-512:]
    assert block[:3] == b"n?\0"
    assert block[108:124] == b"0000000\x000000003\0"
    assert block[136:148] == b"00000000000\0"
    assert block[157:159] == b"?\0"


@pytest.mark.parametrize("length", [85, 86, 87, 88, 89, 985, 986, 987, 988, 989, 990, 991])
def test_a_record_counts_its_own_length(length):
    blocks = header(b"f", attributes(xattrs={b"user.x": b"v" * length}))
    size = int(blocks[124:135], 8)
    assert int(blocks[512 : 512 + size].split(b" ")[0]) == size


def test_limits_of_ustar():
    most = attributes(uid=0o7777777, gid=0o7777777, mtime=8**11 - 1, size=8**11 - 1)
    assert len(header(b"n" * 100, most)) == 512
    for more in ({"size": 8**11}, {"mtime": 8**11}, {"gid": 0o10000000}):
        assert len(header(b"n", most._replace(**more))) == 3 * 512
    assert len(header(b"n" * 100, attributes(Kind.DIRECTORY))) == 3 * 512


def test_a_device_that_no_header_holds():
    with pytest.raises(ArchiveError, match="no tar header"):
        header(b"dev", attributes(Kind.BLOCK, major=1 << 21))


# --- the worked example (section 11)

BASE = [
    directory(b"data", mtime=1577836801),
    Member(b"data/filedel", mtime=OLD),
    directory(b"data/dirdel", mtime=OLD),
    Member(b"data/dirdel/x", mtime=OLD),
    directory(b"data/diropaque", mtime=OLD),
    Member(b"data/diropaque/old1", mtime=OLD),
    directory(b"data/diropaque/sub", mtime=OLD),
    Member(b"data/diropaque/sub/old2", mtime=OLD),
    Member(b"data/file2dir", mtime=OLD),
    Member(b"data/filechmod", mtime=OLD),
    Member(b"data/filesame", content=b"same", mtime=OLD),
    directory(b"tmp", mode=0o1777, mtime=OLD),
]
COMMON = [
    directory(b"data", mtime=LATE),
    directory(b"data/diropaque", mtime=LATE),
    Member(b"data/diropaque/new", content=b"new\n", mtime=LATE),
    directory(b"data/file2dir", mtime=LATE),
    Member(b"data/file2dir/i", content=b"i\n", mtime=LATE),
    Member(b"data/filechmod", mode=0o600, mtime=OLD),
    hardlink(b"data/hl_new_to_base", b"data/filechmod", mode=0o600, mtime=OLD),
    Member(b"data/.wh.filedel", mtime=LATE),
    Member(b"data/.wh.dirdel", mtime=LATE),
]
DOCKER = [
    *COMMON,
    Member(b"data/diropaque/.wh..wh..opq", mode=0o600, link=b"data/.wh.dirdel"),
    Member(b"data/file2dir/.wh..wh..opq"),
    Member(b"data/filesame", content=b"same", mtime=OLD),
    directory(b"tmp", mode=0o1777, mtime=LATE),
]
PODMAN = [
    *DOCKER,
    directory(b"dev", mtime=LATE),
    directory(b"etc", mtime=LATE),
    Member(b"etc/hostname", mode=0o755, mtime=LATE),
    Member(b"etc/hosts", mode=0o755, mtime=LATE),
    symlink(b"etc/mtab", b"/proc/mounts", mtime=LATE),
    directory(b"proc", mtime=LATE),
    directory(b"run", mtime=LATE),
    Member(b"run/.containerenv", mode=0o755, mtime=LATE),
    directory(b"sys", mtime=LATE),
]
VFS = [
    *COMMON,
    Member(b"data/diropaque/.wh.old1"),
    Member(b"data/diropaque/.wh.sub"),
]


def test_worked_example(canonical):
    written, report = canonical(BASE, DOCKER)
    assert listing(written) == [
        Listed("data/", "5", 0o755, 1577836801, ""),
        Listed("data/.wh.dirdel", "0", 0, 0, ""),
        Listed("data/.wh.filedel", "0", 0, 0, ""),
        Listed("data/diropaque/", "5", 0o755, OLD, ""),
        Listed("data/diropaque/.wh.old1", "0", 0, 0, ""),
        Listed("data/diropaque/.wh.sub", "0", 0, 0, ""),
        Listed("data/diropaque/new", "0", 0o644, EPOCH, ""),
        Listed("data/file2dir/", "5", 0o755, EPOCH, ""),
        Listed("data/file2dir/i", "0", 0o644, EPOCH, ""),
        Listed("data/filechmod", "0", 0o600, OLD, ""),
        Listed("data/hl_new_to_base", "1", 0o600, OLD, "data/filechmod"),
    ]
    assert written == tar(
        directory(b"data", mtime=1577836801),
        Member(b"data/.wh.dirdel", mode=0, mtime=0),
        Member(b"data/.wh.filedel", mode=0, mtime=0),
        directory(b"data/diropaque", mtime=OLD),
        Member(b"data/diropaque/.wh.old1", mode=0, mtime=0),
        Member(b"data/diropaque/.wh.sub", mode=0, mtime=0),
        Member(b"data/diropaque/new", content=b"new\n", mtime=EPOCH),
        directory(b"data/file2dir", mtime=EPOCH),
        Member(b"data/file2dir/i", content=b"i\n", mtime=EPOCH),
        Member(b"data/filechmod", mode=0o600, mtime=OLD),
        hardlink(b"data/hl_new_to_base", b"data/filechmod", mode=0o600, mtime=OLD),
    )
    assert (report.count("added"), report.count("changed"), report.count("removed")) == (3, 2, 4)
    assert report.entries == 11
    assert [c.path for c in report.changes if c.action == "changed"] == [
        b"data/file2dir",
        b"data/filechmod",
    ]
    assert canonical(BASE, PODMAN)[0] == written
    assert canonical(BASE, VFS)[0] == written
    assert canonical(BASE, DOCKER[::-1])[0] == written


# --- scrubbing (section 2)

ETC = [directory(b"etc"), directory(b"run"), directory(b"dev")]
STUBS = [
    Member(b"etc/hosts"),
    Member(b"etc/hostname"),
    Member(b"etc/resolv.conf"),
    Member(b".dockerenv"),
    Member(b"run/.containerenv"),
    Member(b"dev/console", b"3", device=(5, 1)),
    symlink(b"etc/mtab", b"/proc/mounts"),
    *(directory(name) for name in (b"dev/pts", b"dev/shm", b"dev/mqueue", b"proc", b"sys")),
    directory(b"run/secrets"),
    directory(b"run/podman-init"),
    Member(b"dev/init"),
    Member(b"run/notify"),
]


@pytest.mark.parametrize("base", [[], ETC])
def test_stubs_that_the_base_lacks_vanish(changed, base):
    stubs = [*STUBS, *(directory(name) for name in (b"etc", b"run", b"dev"))]
    assert changed(base, stubs) == []
    assert changed(base, stubs, [*stubs, Member(b"etc/.wh.mtab")]) == []


def test_an_etc_with_more_than_stubs_stays(changed):
    raw = [directory(b"etc"), Member(b"etc/hosts"), Member(b"etc/user")]
    assert changed([], raw) == ["etc/", "etc/user"]


def test_an_empty_etc_that_the_base_lacks_may_be_any_engines(changed):
    assert changed([], [directory(b"etc")]) == []
    assert changed([], [directory(b"etc"), Member(b"etc/own")]) == ["etc/", "etc/own"]


def test_an_etc_for_a_whiteout_of_nothing_goes(changed):
    assert changed([], [directory(b"etc"), Member(b"etc/.wh.mtab")]) == []


def test_what_the_base_has_of_files_mounted_over_stays(changed):
    base = [*ETC, Member(b"etc/hosts", content=b"base"), symlink(b"etc/resolv.conf", b"real")]
    assert changed(base, [Member(b"etc/hosts", content=b"engine"), *ETC]) == []
    assert changed(base, [Member(b"etc/.wh.hosts"), Member(b"etc/.wh.resolv.conf")]) == []
    assert changed(base, [directory(b"etc"), Member(b"etc/.wh..wh..opq"), Member(b"etc/x")]) == [
        "etc/",
        "etc/x",
    ]


def test_other_names_that_the_base_has_are_the_users(changed):
    base = [
        *ETC,
        Member(b".dockerenv"),
        symlink(b"etc/mtab", b"../proc/mounts"),
        Member(b"dev/init"),
    ]
    assert changed(base, [Member(b".wh..dockerenv"), Member(b"dev/init", content=b"x")]) == [
        ".wh..dockerenv",
        "dev/",
        "dev/init",
    ]
    assert changed(base, [symlink(b"etc/mtab", b"/proc/mounts")]) == ["etc/", "etc/mtab"]


def test_an_mtab_that_is_the_users_stays(changed):
    assert changed(ETC, [symlink(b"etc/mtab", b"/proc/self/mounts")]) == ["etc/", "etc/mtab"]
    assert changed(ETC, [Member(b"etc/mtab")]) == ["etc/", "etc/mtab"]


def test_engine_directories_in_use_stay(changed):
    assert changed([], [directory(b"run"), Member(b"run/app.pid")]) == ["run/", "run/app.pid"]
    base = [directory(b"run")]
    assert changed(base, [directory(b"run", mode=0o700)]) == ["run/"]


def test_mount_points(changed):
    raw = [
        directory(b"mnt"),
        directory(b"mnt/in"),
        directory(b"mnt/in/deep"),
        Member(b"mnt/in/deep/x"),
        directory(b"srv"),
        Member(b"srv/x"),
        Member(b"kept"),
    ]
    mounts = (b"mnt/in/deep", b"srv")
    assert changed([directory(b"srv")], raw, mount_points=mounts) == ["kept", "srv/", "srv/x"]


# --- what is emitted (section 3)


def test_nothing_changed(canonical):
    base = [directory(b"d"), Member(b"d/f", content=b"x"), symlink(b"l", b"t")]
    noise = [directory(b"d", mtime=LATE), Member(b"d/f", content=b"x"), symlink(b"l", b"t")]
    written, report = canonical(base, noise)
    assert (written, report.diff_id, report.entries) == (b"", None, 0)
    assert canonical(base)[1].diff_id is None
    assert canonical(base, noise, always_layer=True)[0] == END


@pytest.mark.parametrize(
    "after",
    [
        Member(b"d/f", content=b"y", mtime=OLD),
        Member(b"d/f", content=b"xx", mtime=OLD),
        Member(b"d/f", content=b"x", mtime=OLD + 1),
        Member(b"d/f", content=b"x", mtime=OLD, mode=0o600),
        Member(b"d/f", content=b"x", mtime=OLD, uid=1),
        Member(b"d/f", content=b"x", mtime=OLD, gid=1),
        Member(b"d/f", content=b"x", mtime=OLD, pax={b"SCHILY.xattr.security.capability": b"1"}),
        symlink(b"d/f", b"x", mtime=OLD),
        Member(b"d/f", b"6", mtime=OLD),
        directory(b"d/f"),
    ],
)
def test_every_attribute_counts(canonical, after):
    written, report = canonical([directory(b"d"), Member(b"d/f", content=b"x", mtime=OLD)], [after])
    assert [(c.action, c.path) for c in report.changes] == [("changed", b"d/f")]
    assert len(names(written)) == 2


def test_a_symlinks_mode_does_not_count(changed):
    base = [symlink(b"l", b"t")]
    assert changed(base, [Member(b"l", b"2", link=b"t", mode=0o644)]) == []


def test_ancestors_are_the_bases(canonical):
    base = [directory(b"tmp", mode=0o1777, mtime=OLD, uid=3)]
    written, _ = canonical(base, [Member(b"tmp/x", mtime=LATE)])
    assert listing(written) == [
        Listed("tmp/", "5", 0o1777, OLD, ""),
        Listed("tmp/x", "0", 0o644, EPOCH, ""),
    ]


IMPLIED_ABOVE = (
    [directory(b"tmp", mode=0o1777), directory(b"x", mode=0o2775, uid=5, gid=6)],
    [Member(b"tmp/t"), Member(b"x/late")],
)


def on_implied(cache, **seen):
    """The layer of a new file in x, which an engine shows with these attributes."""
    raw = [directory(b"x", **seen), Member(b"x/new", mtime=EPOCH)]
    base = [tar(*members) for members in IMPLIED_ABOVE]
    return listing(layers.canonical(cache, base, [tar(*raw)])[0])


def test_what_an_engine_shows_of_an_implied_directory_is_no_change(tmp_path):
    """Overlay engines make it anew, root's and 0755; vfs and umoci leave what was below."""
    overlay = on_implied(tmp_path, mode=0o755)
    assert [(item.name, oct(item.mode)) for item in overlay] == [
        ("x/", "0o2775"),
        ("x/new", "0o644"),
    ]
    assert on_implied(tmp_path, mode=0o2775, uid=5, gid=6) == overlay


def test_a_change_of_an_implied_directory_is_one_whatever_is_shown(tmp_path):
    for changed in ({"mode": 0o700}, {"uid": 7}, {"gid": 8}):
        shown = on_implied(tmp_path, **{"mode": 0o755, **changed})
        kept = on_implied(tmp_path, **{"mode": 0o2775, "uid": 5, "gid": 6, **changed})
        assert shown == kept


def test_what_is_shown_alone_makes_no_layer(tmp_path):
    base = [tar(*members) for members in IMPLIED_ABOVE]
    raw = tar(directory(b"tmp"), directory(b"x"))
    assert layers.canonical(tmp_path, base, [raw])[1].diff_id is None


def test_a_directory_that_a_layer_lists_later_is_as_it_says(tmp_path):
    base = [tar(*members) for members in (*IMPLIED_ABOVE, [directory(b"x", mode=0o700)])]
    written, _ = layers.canonical(tmp_path, base, [tar(directory(b"x", mode=0o755))])
    assert [oct(item.mode) for item in listing(written)] == ["0o755"]


def test_implied_directories(canonical):
    written, _ = canonical([directory(b"d", mode=0o700)], [Member(b".wh.d"), Member(b"d/e/x")])
    assert listing(written)[:2] == [
        Listed("d/", "5", 0o755, 1_600_000_000, ""),
        Listed("d/e/", "5", 0o755, EPOCH, ""),
    ]


def test_only_the_topmost_deletion(changed):
    base = [directory(b"a"), directory(b"a/b"), Member(b"a/b/c")]
    assert changed(base, [Member(b".wh.a"), Member(b"a/.wh.b"), Member(b"a/b/.wh.c")]) == [".wh.a"]
    assert changed(base, [Member(b"a/b/.wh.c"), Member(b".wh.never")]) == [
        "a/",
        "a/b/",
        "a/b/.wh.c",
    ]


def test_a_recreated_directory_with_equal_content_is_no_change(changed):
    base = [directory(b"d"), directory(b"d/e"), Member(b"d/e/f", content=b"x")]
    again = [directory(b"d", mtime=LATE), directory(b"d/e"), Member(b"d/e/f", content=b"x")]
    assert changed(base, [*again, Member(b"d/.wh..wh..opq")]) == []
    assert changed(base, [*again, Member(b".wh.d")]) == []
    assert changed(base, [*again[:2], Member(b"d/.wh..wh..opq")]) == ["d/", "d/e/", "d/e/.wh.f"]


def test_an_opaque_root(changed):
    base = [Member(b"a"), directory(b"d"), Member(b"d/x")]
    raw = [Member(b".wh..wh..opq"), directory(b"d"), Member(b"new")]
    assert changed(base, raw) == [".wh.a", "d/", "d/.wh.x", "new"]


@pytest.mark.parametrize("marked", [True, False])
def test_a_changed_type_is_the_new_entry_alone(changed, marked):
    base = [directory(b"d"), Member(b"d/x"), Member(b"f")]
    raw = [Member(b"d"), directory(b"f"), Member(b"f/y")]
    marks = [Member(b".wh.d"), Member(b".wh.f"), Member(b"f/.wh..wh..opq")]
    assert changed(base, raw + marks * marked) == ["d", "f/", "f/y"]


def test_hardlinks_go_together(canonical):
    base = [Member(b"a", content=b"1"), Member(b"b", content=b"1"), Member(b"z", content=b"1")]
    group = [Member(b"b", content=b"1"), hardlink(b"c", b"b"), hardlink(b"a", b"c")]
    written, report = canonical(base, group)
    assert [(e.name, e.type, e.link) for e in listing(written)] == [
        ("a", "0", ""),
        ("b", "1", "a"),
        ("c", "1", "a"),
    ]
    assert [c.size for c in report.changes] == [1, 0, 0]
    assert names(canonical(base, [*group[:1], hardlink(b"a", b"b")])[0]) == []


def test_everything_but_directories_can_be_hardlinked(canonical):
    raw = [
        symlink(b"s", b"t"),
        hardlink(b"s2", b"s"),
        Member(b"dev", b"3", device=(1, 3)),
        hardlink(b"dev2", b"dev"),
    ]
    written, _ = canonical([], raw)
    assert [(e.name, e.type, e.mode, e.link) for e in listing(written)] == [
        ("dev", "3", 0o644, ""),
        ("dev2", "1", 0o644, "dev"),
        ("s", "2", 0o777, "t"),
        ("s2", "1", 0o777, "s"),
    ]


# --- order and attributes (sections 4 and 5)


def test_order(changed):
    base = [directory(b"a"), Member(b"a/gone"), Member(b"a/zz"), Member(b"zz")]
    new = [b"a/b", b"a b", b"a-", b"a/A", b"a/c", b"\xff", b"a.x"]
    raw = [*map(Member, new), Member(b"a/.wh.zz"), Member(b"a/.wh.gone"), Member(b".wh.zz")]
    order = [".wh.zz", "a/", "a/.wh.gone", "a/.wh.zz", "a/A", "a/b", "a/c", "a b", "a-", "a.x"]
    assert changed(base, raw) == [*order, "\udcff"]


def test_times(canonical):
    base = [Member(b"equal", mode=0o600, mtime=LATE), directory(b"was", mtime=7), Member(b"old")]
    raw = [
        Member(b"equal", mtime=LATE),
        Member(b"was", mtime=7),
        Member(b"old", mtime=-5),
        Member(b"new", mtime=LATE),
        Member(b"early", mtime=12),
    ]
    times = {e.name: e.mtime for e in listing(canonical(base, raw)[0])}
    assert times == {"equal": LATE, "was": 7, "old": -5, "new": EPOCH, "early": 12}
    times = {e.name: e.mtime for e in listing(canonical(base, raw, mtime="set")[0])}
    assert times == {"equal": LATE, "was": 7, "old": EPOCH, "new": EPOCH, "early": EPOCH}


def test_xattrs(canonical):
    pax = {
        b"SCHILY.xattr.security.capability": b"\1\0\0\3" + b"c" * 16 + b"root",
        b"SCHILY.xattr.user.b": b"\0=",
        b"SCHILY.xattr.user.overlay.origin": b"x",
        b"SCHILY.xattr.trusted.x": b"x",
    }
    written, report = canonical([], [Member(b"f", pax=pax)])
    assert record(b"SCHILY.xattr.security.capability", b"\1\0\0\2" + b"c" * 16) in written
    assert b"user." not in written
    assert report.warnings == ("user.* attributes dropped from 1 path, the first is f",)

    written, report = canonical([], [Member(b"f", pax=pax)], keep_user_xattrs=True)
    assert record(b"SCHILY.xattr.user.b", b"\0=") in written
    assert b"overlay" not in written
    assert b"trusted" not in written
    assert report.warnings == ()
    assert names(canonical([Member(b"f", pax=pax)], [Member(b"f", pax=pax)])[0]) == []


def test_an_attribute_that_is_all_that_is_new_is_told(canonical):
    noted, other = ({b"SCHILY.xattr.user.a": value} for value in (b"noted", b"other"))
    base = [Member(b"f"), Member(b"g", pax=noted)]
    _, report = canonical(base, [Member(b"f", pax=noted), Member(b"g", pax=noted)])
    assert (report.diff_id, len(report.warnings)) == (None, 1)
    assert report.warnings[0].endswith("the first is f")
    _, report = canonical(base, [Member(b"g", pax=other)])
    assert report.warnings[0].endswith("the first is g")
    assert canonical(base, [Member(b"g", pax=noted)])[1].warnings == ()


# --- exclusion


def test_excluded_paths_count_as_unchanged(changed):
    base = [directory(b"v"), directory(b"v/cache"), Member(b"v/cache/old"), Member(b"v/cache/same")]
    raw = [
        directory(b"v", mtime=LATE),
        directory(b"v/cache", mtime=LATE),
        Member(b"v/cache/.wh.old"),
        Member(b"v/cache/same", content=b"changed"),
        Member(b"v/cache/new"),
        directory(b"v/cache/deep"),
        Member(b"v/cache/deep/x"),
        Member(b"other"),
    ]
    below = changed(base, raw, exclude=lambda path: path.startswith(b"v/cache/"))
    assert below == ["other"]
    assert changed(base, raw, exclude=lambda path: path == b"v/cache") == ["other"]
    kept = changed(base, raw, exclude=lambda path: path == b"v/cache/deep")
    assert kept == ["other", "v/", "v/cache/", "v/cache/.wh.old", "v/cache/new", "v/cache/same"]


def test_exclusion_spares_the_rest_of_a_hardlink_group(canonical):
    raw = [Member(b"a", content=b"1"), hardlink(b"b", b"a"), hardlink(b"c", b"a")]
    written, _ = canonical([], raw, exclude=lambda path: path == b"a")
    assert [(e.name, e.link) for e in listing(written)] == [("b", ""), ("c", "b")]


# --- several raw layers


def test_later_layers_win(canonical):
    base = [directory(b"d"), Member(b"d/base"), Member(b"f"), directory(b"e"), Member(b"e/x")]
    first = [
        Member(b"d/one", content=b"1"),
        directory(b"sub"),
        Member(b"sub/x"),
        Member(b"e"),
        Member(b"link-a", content=b"group"),
        hardlink(b"link-b", b"link-a"),
    ]
    second = [
        Member(b"d/.wh.one"),
        Member(b"d/two"),
        Member(b".wh.sub"),
        directory(b"f"),
        directory(b"e"),
        Member(b"link-a", content=b"own"),
    ]
    written, _ = canonical(base, first, second)
    assert names(written) == ["d/", "d/two", "e/", "e/.wh.x", "f/", "link-a", "link-b"]
    assert {e.type for e in listing(written) if e.name.startswith("link")} == {"0"}


def test_a_later_layer_empties_a_directory(changed):
    base = [directory(b"d"), Member(b"d/base")]
    first = [directory(b"d/e"), Member(b"d/e/x"), Member(b"d/one")]
    assert changed(base, first, [directory(b"d"), Member(b"d/.wh..wh..opq"), Member(b"d/e/y")]) == [
        "d/",
        "d/.wh.base",
        "d/e/",
        "d/e/y",
    ]
    assert changed(base, first, [Member(b".wh.d")]) == [".wh.d"]
    assert changed(base, first, [Member(b"d")]) == ["d"]


def test_a_hardlink_to_an_earlier_layer(canonical):
    written, _ = canonical([], [Member(b"a", content=b"1")], [hardlink(b"b", b"a")])
    assert [(e.name, e.link) for e in listing(written)] == [("a", ""), ("b", "a")]


# --- errors (section 7)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ([Member(b"null", b"3", device=(0, 0))], "0:0"),
        ([Member(b".wh.")], "whiteout of nothing"),
        ([Member(b"d/.wh..")], "whiteout of nothing"),
        ([Member(b".wh.x/y")], "below a whiteout"),
        ([Member(b"file/below")], "no directory"),
        ([Member(b"x"), Member(b"x/y")], "no directory"),
        ([symlink(b"x", b"d"), Member(b"x/y/z")], "no directory"),
        ([hardlink(b"a", b"file")], "hardlink to b'file'"),
        ([hardlink(b"a", b"b"), hardlink(b"b", b"a")], "hardlink to itself"),
        ([directory(b"d"), hardlink(b"a", b"d")], "hardlink to b'd'"),
    ],
)
def test_contradictions(changed, raw, reason):
    with pytest.raises(ArchiveError, match=reason):
        changed([Member(b"file")], raw)


def test_a_file_below_what_a_later_layer_made_a_file(changed):
    with pytest.raises(ArchiveError, match="no directory"):
        changed([], [directory(b"d"), Member(b"d/x")], [Member(b"d"), Member(b"d/y")])


def test_duplicates_warn_and_the_last_counts(canonical):
    written, report = canonical([], [Member(b"a", mode=0o600), Member(b"./a")])
    assert [e.mode for e in listing(written)] == [0o644]
    assert report.warnings == ("raw: b'a' is there twice; the last one counts",)


def test_aufs_metadata_is_skipped(changed):
    assert changed([], [directory(b".wh..wh.plnk"), Member(b".wh..wh.plnk/1"), Member(b"a")]) == [
        "a"
    ]


def test_content_that_is_gone_when_it_is_written():
    data = tar(Member(b"f", content=b"x" * 2000))
    stream = io.BytesIO(data)
    with TarChanges(lambda: stream, name="raw") as changes:
        stream.truncate(1000)
        with pytest.raises(ArchiveError, match="truncated content"):
            list(changes.content(changes.entries[b"f"]))


# --- validation of the form


def wrong(*members, end=END):
    return tar(*members, end=end)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (wrong(Member(b"b"), Member(b"a")), "out of order"),
        (wrong(Member(b"a"), Member(b"a")), "out of order"),
        (wrong(directory(b".")), "out of order"),
        (wrong(Member(b"a/b")), "its directory b'a' is not"),
        (wrong(Member(b"a"), Member(b"a/b")), "its directory b'a' is not"),
        (wrong(Member(b"a"), Member(b".wh.a", mode=0, mtime=0)), "out of order"),
        (wrong(Member(b".wh.a", mode=0, mtime=0), Member(b"a")), "deleted and there"),
        (wrong(Member(b".wh.a", mode=0o600, mtime=0)), "not canonical"),
        (wrong(Member(b".wh..wh..opq")), "opaque markers"),
        (wrong(Member(b"./a")), "not canonical"),
        (wrong(Member(b"a", mode=0o100644)), "not canonical"),
        (wrong(Member(b"a", gnu=True)), "not canonical"),
        (wrong(Member(b"a", uname=b"root")), "not canonical"),
        (wrong(Member(b"a", pax={b"comment": b"x"})), "not canonical"),
        (wrong(Member(b"a", pax={b"SCHILY.xattr.trusted.x": b"x"})), "not canonical"),
        (wrong(Member(b"l", b"2", link=b"t", mode=0o644)), "not canonical"),
        (wrong(hardlink(b"a", b"b"), Member(b"b")), "a hardlink to b'b'"),
        (wrong(Member(b"a"), hardlink(b"b", b"a", mode=0o600)), "not canonical"),
        (wrong(Member(b"g", b"g", b""), Member(b"a")), "not canonical"),
        (wrong(Member(b"a"), end=bytes(512)), "two zero blocks"),
        (wrong(Member(b"a"), end=bytes(10240)), "two zero blocks"),
        (wrong(Member(b"a", content=b"x"))[:1000] + b"y" + wrong()[:0] + bytes(1047), "zeros"),
        (b"", "two zero blocks"),
    ],
)
def test_not_the_canonical_form(data, reason):
    with pytest.raises(ArchiveError, match=reason):
        validate_form(io.BytesIO(data))


def test_the_empty_layer_is_canonical():
    validate_form(io.BytesIO(END))
