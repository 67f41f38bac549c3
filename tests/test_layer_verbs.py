"""``runcommit layer show``, ``diff``, ``validate`` and ``profiles``."""

from __future__ import annotations

import gzip
import json
import sys

import pytest

from runcommit_core import process
from runcommit_core.layer.compare import compare_layers
from runcommit_core.layer.contents import read_contents
from runcommit_core.layer.wording import json_path, printable, size_text
from runcommit_core.testing import bases
from tests import layers
from tests.layers import EPOCH
from tests.tars import Member, diff_id, directory, hardlink, symlink, tar

OLD = 1_600_000_000

BASE = (
    directory(b"d", mtime=OLD),
    Member(b"d/changed", content=b"old", mtime=OLD),
    Member(b"d/deleted", mtime=OLD),
    directory(b"d/opaque", mtime=OLD),
    Member(b"d/opaque/x", mtime=OLD),
    Member(b"hard1", content=b"h", mtime=OLD),
    hardlink(b"hard2", b"hard1", mtime=OLD),
)


@pytest.fixture
def runcommit(tmp_path, monkeypatch):
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))

    def run(*arguments: object) -> process.Completed:
        return process.attempt(sys.executable, "-m", "runcommit_core", *map(str, arguments))

    return run


@pytest.fixture
def base(tmp_path):
    return bases.write_layout(tmp_path / "base", [tar(*BASE)]).path


@pytest.fixture
def layer(tmp_path):
    """A canonical layer on the base."""
    raw = tar(
        directory(b"d"),
        Member(b"d/changed", content=b"new" * 700, mtime=EPOCH),
        Member(b"d/.wh.deleted"),
        Member(b"d/added", content=b"a" * 5000, mtime=EPOCH),
        symlink(b"link", b"d/added", mtime=EPOCH),
        Member(b"hard1", content=b"h", mode=0o600, mtime=OLD),
        hardlink(b"hard2", b"hard1"),
        Member(b"\xff\n", mtime=EPOCH),
    )
    written, _ = layers.canonical(tmp_path / "cache", [tar(*BASE)], [raw])
    return put(tmp_path / "layer.tar", written)


def put(path, data):
    path.write_bytes(data)
    return path


# --- show


def test_show_without_a_base(runcommit, layer):
    told = runcommit("layer", "show", layer).output.splitlines()
    assert told[0].startswith(diff_id(layer.read_bytes()))
    assert told[0].endswith("7 present, 1 removed")
    assert told[1:] == [
        "   7.10 kB  d/",
        "   5.00 kB    added",
        "   2.10 kB    changed",
        "-             deleted",
        "       1 B  hard1",
        "       0 B  hard2 = hard1",
        "       0 B  link -> d/added",
        "       0 B  \\xff\\n",
    ]


def test_show_with_a_base(runcommit, layer, base):
    told = runcommit("layer", "show", layer, "--base", base).output.splitlines()
    assert told[0].endswith("3 added, 3 changed, 1 removed, 1 unchanged")
    assert [line[:1] + line[11:] for line in told[1:]] == [
        "  d/",
        "+   added",
        "~   changed",
        "-   deleted",
        "~ hard1",
        "~ hard2 = hard1",
        "+ link -> d/added",
        "+ \\xff\\n",
    ]


def test_show_as_json(runcommit, layer, base):
    told = json.loads(runcommit("layer", "show", layer, "--base", base, "--json").output)
    assert told["diff_id"] == diff_id(layer.read_bytes())
    assert told["size"] == layer.stat().st_size
    assert told["counts"] == {"added": 3, "changed": 3, "removed": 1, "unchanged": 1}
    sizes = [entry["size"] for entry in told["entries"]]
    assert sizes == sorted(sizes, reverse=True)
    by_path = {entry["path"]: entry for entry in told["entries"]}
    assert by_path["d/deleted"]["change"] == "removed"
    assert by_path["hard1"]["mode"] == "0600"
    assert by_path["hard2"]["link"] == "hard1"
    assert by_path["\udcff\n"]["type"] == "file"


def test_show_takes_compressed_layers_and_images(runcommit, layer, base, tmp_path):
    packed = put(tmp_path / "packed", gzip.compress(layer.read_bytes()))
    plain = runcommit("layer", "show", layer).output
    assert runcommit("layer", "show", packed).output == plain
    image = bases.write_layout(tmp_path / "image", [tar(*BASE), layer.read_bytes()])
    assert runcommit("layer", "show", image.path).output == plain
    assert runcommit("layer", "show", image.ref).output == plain


def test_show_marks_what_an_opaque_directory_hides(runcommit, tmp_path):
    opaque = put(tmp_path / "x", tar(directory(b"d"), Member(b"d/.wh..wh..opq")))
    told = runcommit("layer", "show", opaque).output.splitlines()
    assert told[1:] == ["       0 B  d/", "-             *"]


def test_show_what_is_no_layer(runcommit, tmp_path):
    done = runcommit("layer", "show", put(tmp_path / "x", b"no tar" * 200))
    assert (done.returncode, done.output) == (6, "")
    assert f"{tmp_path}/x: byte 0" in done.errors
    missing = runcommit("layer", "show", tmp_path / "y")
    assert missing.returncode == 6
    nothing = put(tmp_path / "z", tar(Member(b"a/.wh.")))
    assert "whiteout of nothing" in runcommit("layer", "show", nothing).errors


# --- diff


def compare(tmp_path, first, second):
    one, other = put(tmp_path / "a", tar(*first)), put(tmp_path / "b", tar(*second))
    return compare_layers(str(one), str(other))


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ([Member(b"a")], [], "a: only in the first (file)"),
        ([], [directory(b"a")], "a: only in the second (directory)"),
        ([], [Member(b"d/.wh.a")], "d/.wh.a: only in the second (whiteout)"),
        ([Member(b"a", mode=0o644)], [Member(b"a", mode=0o755)], "a: mode 0644 → 0755"),
        ([Member(b"a", uid=1)], [Member(b"a", gid=2)], "a: uid 1 → 0, gid 0 → 2"),
        ([Member(b"a", mtime=1)], [Member(b"a", mtime=2)], "a: mtime 1 → 2"),
        ([Member(b"a")], [directory(b"a", mode=0o644)],
         "a: type file → directory, size 0 → none, content sha256:e3b0c44298fc → none"),
        ([symlink(b"a", b"b")], [symlink(b"a", b"c")], "a: link b → c"),
        ([hardlink(b"a", b"b")], [symlink(b"a", b"b")],
         "a: type hardlink → symlink, mode 0644 → 0777"),
        ([Member(b"a", b"3", device=(1, 2))], [Member(b"a", b"3", device=(1, 3))],
         "a: device 1:2 → 1:3"),
        ([Member(b"a", content=b"x")], [Member(b"a", content=b"y")],
         "a: content sha256:2d711642b726 → sha256:a1fce4363854"),
        ([Member(b"a", pax={b"SCHILY.xattr.user.x": b"1"})], [Member(b"a")],
         "a: xattr user.x 31 → none"),
    ],
)  # fmt: skip
def test_diff_tells_paths_and_attributes(tmp_path, first, second, told):
    found = compare(tmp_path, first, second)
    assert [str(difference) for difference in found.paths] == [told]
    assert found.form is None
    assert not found.equal


def test_diff_is_in_the_order_of_paths(tmp_path):
    found = compare(tmp_path, [Member(b"a b"), Member(b"a/b")], [Member(b"a")])
    assert [each.path for each in found.paths] == [b"a", b"a/b", b"a b"]


def test_diff_of_form(tmp_path):
    """Order, headers and padding differ, but no entry does."""
    one, other = Member(b"a", content=b"x" * 600), Member(b"b")
    found = compare(tmp_path, [one, other], [one, Member(b"b", uname=b"root")])
    assert (found.paths, found.form.path) == ((), b"b")
    assert (found.form.entry_offset, found.form.offset) == (1536, 1685)  # in the checksum
    assert "same entries, different form: byte 1685, in the entry b" in str(found.form)
    swapped = compare(tmp_path, [one, other], [other, one])
    assert (swapped.form.offset, swapped.form.path) == (0, b"a")
    longer = compare_layers(
        str(put(tmp_path / "a", tar(one))), str(put(tmp_path / "b", tar(one) + bytes(512)))
    )
    assert (longer.form.offset, longer.form.path) == (2560, None)
    assert "in the end of the tar, which begins at byte 1536" in str(longer.form)


def test_diff_exit_codes(runcommit, layer, tmp_path):
    packed = put(tmp_path / "packed", gzip.compress(layer.read_bytes()))
    other = put(tmp_path / "other", tar(Member(b"a")))
    same = runcommit("layer", "diff", layer, packed)
    assert (same.returncode, same.output) == (0, "")
    different = runcommit("layer", "diff", layer, other)
    assert different.returncode == 1
    assert "a: only in the second (file)\n" in different.output
    assert different.errors == ""
    assert runcommit("layer", "diff", layer, tmp_path / "missing").returncode == 6
    assert runcommit("layer", "diff", layer).returncode == 2


def test_diff_as_json(runcommit, tmp_path):
    one = put(tmp_path / "a", tar(Member(b"a", mode=0o600), Member(b"\xff")))
    other = put(tmp_path / "b", tar(Member(b"a")))
    told = json.loads(runcommit("layer", "diff", one, other, "--json").output)
    assert told == {
        "equal": False,
        "diff_ids": [diff_id(one.read_bytes()), diff_id(other.read_bytes())],
        "differences": [
            {"path": "a", "in": "both", "attributes": {"mode": ["0600", "0644"]}},
            {"path": "\udcff", "in": "first", "attributes": {}},
        ],
        "form": None,
    }
    longer = put(tmp_path / "c", other.read_bytes() + bytes(512))
    told = json.loads(runcommit("layer", "diff", other, longer, "--json").output)
    assert told["form"] == {"offset": 1536, "entry_offset": 512, "path": None}


# --- validate


def test_validate_prints_the_diff_id(runcommit, base, layer):
    done = runcommit("layer", "validate", base, layer)
    assert (done.returncode, done.output) == (0, diff_id(layer.read_bytes()) + "\n"), done.errors


def test_validate_lists_all_violations(runcommit, base, tmp_path):
    bad = tar(
        directory(b"d", mtime=OLD + 1),
        Member(b"d/.wh.nothing", mode=0, mtime=0),
        Member(b"d/changed", content=b"old", mtime=OLD),
        Member(b"new/x", mtime=EPOCH),
        Member(b"new/x", mtime=EPOCH),
        Member(b"new/.wh..wh..opq"),
    )
    done = runcommit("layer", "validate", base, put(tmp_path / "bad", bad))
    assert (done.returncode, done.output) == (6, "")
    told = done.errors
    assert "7 violations" in told
    assert "b'd': its time is 1600000001, but that of the base's directory is 1600000000" in told
    assert "deletes b'd/nothing', which the base does not have" in told
    assert "b'd/changed': says nothing that the base does not" in told
    assert "b'new': something below it is in the layer, but not the directory itself" in told
    assert "b'new/x': is in the layer twice" in told
    assert "opaque markers" in told
    assert "its directory b'new' is not in the layer" in told


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ([directory(b"d", mtime=OLD)], "b'd': says nothing"),
        ([Member(b"hard1", content=b"h", mtime=OLD)], "b'hard1': says nothing"),
        ([Member(b"hard1", content=b"h", mtime=OLD), hardlink(b"hard2", b"hard1", mtime=OLD)],
         "b'hard2': says nothing"),
        ([Member(b".wh.hard1", mode=0, mtime=0), Member(b"hard1", mode=0o600)],
         "deletes b'hard1', which is also in the layer"),
        ([hardlink(b"n", b"hard1")], "is no file before it"),
        ([Member(b"n", mtime=1, uname=b"x")], "the header is not canonical"),
    ],
)  # fmt: skip
def test_validate_finds(runcommit, base, tmp_path, members, told):
    done = runcommit("layer", "validate", base, put(tmp_path / "bad", tar(*members)))
    assert done.returncode == 6
    assert told in done.errors


@pytest.mark.parametrize(
    "members",
    [
        [directory(b"d", mode=0o700, mtime=OLD)],
        [Member(b"hard1", content=b"h", mtime=OLD), hardlink(b"n", b"hard1", mtime=OLD)],
        [Member(b"d", mtime=EPOCH)],
        [Member(b"hard1", mtime=OLD, content=b"x")],
        [],
    ],
    ids=["chmod", "new name of an old file", "file for a directory", "content only", "empty"],
)
def test_validate_accepts(runcommit, base, tmp_path, members):
    good = tar(*members)
    done = runcommit("layer", "validate", base, put(tmp_path / "good", good))
    assert (done.output, done.errors) == (diff_id(good) + "\n", "")


def test_validate_accepts_what_was_clamped_to_the_bases_time(runcommit, base, tmp_path):
    same = put(tmp_path / "same", tar(Member(b"hard1", content=b"h", mtime=OLD)))
    assert runcommit("layer", "validate", base, same).returncode == 6
    epoch = ("--source-date-epoch", OLD)
    assert runcommit("layer", "validate", base, same, *epoch).returncode == 0


# --- profiles, words


def test_profiles(runcommit):
    text = runcommit("layer", "profiles").output
    assert "dnf (also: yum, microdnf): " in text
    assert "  var/log/**, but no directory: " in text
    told = json.loads(runcommit("layer", "profiles", "--json").output)
    assert [profile["name"] for profile in told][:2] == ["apt", "dnf"]
    assert all(removal["reason"] for profile in told for removal in profile["removes"])


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (99_950, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**12, "5.00 TB"),
    ],
)
def test_sizes(size: int, text: str):
    assert size_text(size) == text


def test_paths_for_people_and_programs():
    assert printable("é\x1b[31m\n".encode() + b"\xff") == "é\\x1b[31m\\n\\xff"
    assert json_path(b"a\xff").encode(errors="surrogateescape") == b"a\xff"


def test_contents_know_where_entries_begin(tmp_path):
    long = Member(b"x" * 120, content=b"1")
    found = read_contents(str(put(tmp_path / "x", tar(Member(b"a", content=b"y" * 513), long))))
    assert [item.offset for item in found.items] == [0, 1536]
    assert found.size == (tmp_path / "x").stat().st_size
