"""``run_extract``: what comes out of a result, what it is called, and what is left alone."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import ArchiveError, RawLayer, SavedImage, UsageError, hookimpl, run_extract
from tests import canned
from tests.images import image, oci_files, write_directory
from tests.tars import Member, diff_id, directory, hardlink, symlink, tar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core import Job
    from runcommit_core.api import Extracted

EPOCH = 1_650_000_000
BASE = tar(
    directory(b"etc"),
    Member(b"etc/kept", content=b"base", uid=7, gid=8, mode=0o640),
    Member(b"etc/gone", content=b"gone"),
    Member(b"etc/empty"),
    directory(b"etc/old"),
    Member(b"etc/old/inner", content=b"inner"),
    Member(b"etc/double", content=b"double"),
    hardlink(b"etc/double2", b"etc/double"),
    directory(b"usr"),
    directory(b"usr/bin"),
    Member(b"usr/bin/tool", content=b"tool", mode=0o4755, uid=4_000_000),
    symlink(b"bin", b"usr/bin"),
    symlink(b"up", b"../../../etc/kept"),
    symlink(b"abs", b"/bin/tool"),
    symlink(b"loop", b"loop"),
    Member(b"null", b"3", device=(1, 3)),
)
UPPER = tar(Member(b"etc/double", content=b"second"), symlink(b"etc/tool", b"../bin/tool"))
CHANGES = tar(
    Member(b"etc/.wh.gone", mode=0),
    Member(b"etc/.wh.old", mode=0),
    Member(b"etc/new", content=b"new", pax={b"SCHILY.xattr.user.a": b"b"}),
    hardlink(b"etc/new2", b"etc/new"),
    Member(b"etc/fifo", b"6", mode=0o600),
    Member(b"etc/secret", content=b"no bits", mode=0),
)


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(EPOCH))
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


def changing(raw: bytes) -> Any:
    """A backend whose runs make these changes."""

    @hookimpl
    def save(job: Job) -> SavedImage:
        layer = RawLayer(diff_id(raw), lambda: io.BytesIO(raw))
        return SavedImage(b"", (*job.base.diff_ids, layer.diff_id), (layer,))

    return canned.backend(save=save)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_directory(tmp_path / "base", oci_files(image(BASE, UPPER, compression="gzip")))


@pytest.fixture
def extract(base: Path) -> Callable[..., Extracted]:
    def run(*paths: str, raw: bytes = CHANGES, **options: Any) -> Extracted:
        return run_extract(f"oci:{base}", "x", paths=paths, backend=changing(raw), **options)

    return run


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def listed(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {member.name: member for member in archive}


def tree(folder: Path) -> dict[str, str]:
    """Paths below a folder, with what is in files and where links lead."""
    found = {}
    for path in sorted(folder.rglob("*")):
        mode = path.lstat().st_mode
        name = str(path.relative_to(folder))
        if stat.S_ISLNK(mode):
            found[name] = f"-> {path.readlink()}"
        elif stat.S_ISREG(mode):
            found[name] = path.read_bytes().decode()
        else:
            found[name] = "/" if stat.S_ISDIR(mode) else "special"
    return found


@pytest.mark.usefixtures("machine")
def test_a_directory_mixes_base_and_layer(extract: Callable[..., Extracted], out: Path):
    extract("/etc", to=out)
    assert tree(out) == {
        "etc": "/",
        "etc/double": "second",
        "etc/double2": "double",
        "etc/empty": "",
        "etc/fifo": "special",
        "etc/kept": "base",
        "etc/new": "new",
        "etc/new2": "new",
        "etc/secret": "no bits",
        "etc/tool": "-> ../bin/tool",
    }
    assert (out / "etc/new").samefile(out / "etc/new2")
    assert (out / "etc/secret").stat().st_mode & 0o7777 == 0
    assert (out / "etc/kept").stat().st_mode & 0o7777 == 0o640
    assert (out / "etc/kept").stat().st_uid == os.geteuid()
    assert (out / "etc").stat().st_mtime == 1_600_000_000
    assert stat.S_ISFIFO((out / "etc/fifo").stat().st_mode)


def test_a_tar_keeps_what_the_image_says(extract: Callable[..., Extracted], out: Path):
    found = extract("/etc", "/null", "/usr/bin/tool", tar=out / "x.tar", xattrs=True)
    assert found.places == (out / "x.tar",)
    entries = listed(out / "x.tar")
    assert next(iter(entries)) == "etc"
    kept = entries["etc/kept"]
    assert (kept.uid, kept.gid, kept.mode, kept.mtime) == (7, 8, 0o640, 1_600_000_000)
    assert entries["etc/new"].pax_headers["SCHILY.xattr.user.a"] == "b"
    assert (entries["etc/new2"].islnk(), entries["etc/new2"].linkname) == (True, "etc/new")
    assert not entries["etc/double2"].islnk()
    assert (entries["null"].devmajor, entries["null"].devminor) == (1, 3)
    assert (entries["tool"].mode, entries["tool"].uid) == (0o4755, 4_000_000)
    assert "etc/gone" not in entries


def test_equal_results_give_equal_tars(extract: Callable[..., Extracted], out: Path):
    extract("/etc", tar=out / "a.tar")
    extract("/etc", tar=out / "b.tar")
    assert (out / "a.tar").read_bytes() == (out / "b.tar").read_bytes()


@pytest.mark.parametrize("path", ["/bin/tool", "/abs", "/etc/tool", "/usr/../bin/./tool/"])
def test_links_on_the_way_are_followed(extract: Callable[..., Extracted], out: Path, path: str):
    extract(path, places=[out / "file"])
    assert (out / "file").read_bytes() == b"tool"
    assert (out / "file").stat().st_mode & 0o7777 == 0o755, "set-id bits of another's id"


def test_no_link_leads_out_of_the_image(extract: Callable[..., Extracted], out: Path):
    extract("/up", to=out)
    assert tree(out) == {"up": "base"}


@pytest.mark.usefixtures("machine")
def test_the_whole_root(
    extract: Callable[..., Extracted], out: Path, caplog: pytest.LogCaptureFixture
):
    extract("/", to=out)
    assert f"{out}/null would be a device" in caplog.text
    assert {"etc/new", "usr/bin/tool", "bin"} <= set(tree(out))
    assert "null" not in tree(out)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/gone", "/etc/gone"),
        ("/etc/old/inner", "/etc/old"),
        ("/etc/nwe", "new"),
        ("/etc/kept/x", "no directory"),
        ("/loop", "loop"),
        ("relative", "absolute"),
    ],
)
def test_what_is_not_there(extract: Callable[..., Extracted], out: Path, path: str, words: str):
    with pytest.raises(UsageError) as caught:
        extract("/etc/kept", path, to=out)
    assert words in f"{caught.value} {caught.value.tip}"
    assert list(out.iterdir()) == []


def test_places_that_make_no_sense(extract: Callable[..., Extracted], out: Path):
    for options in (
        {},
        {"to": out, "tar": out / "x"},
        {"places": [out / "a", out / "b"]},
        {"to": out / "no/folder"},
        {"places": [out / "no/folder"]},
        {"tar": out / "no/folder"},
    ):
        with pytest.raises(UsageError):
            extract("/etc/kept", **options)
    with pytest.raises(UsageError, match="kept"):
        extract("/etc/kept", "/etc/../etc/kept", to=out)
    assert list(out.iterdir()) == []


@pytest.mark.usefixtures("machine")
def test_what_is_there_is_replaced_or_entered(extract: Callable[..., Extracted], out: Path):
    (out / "etc").mkdir(mode=0o700)
    (out / "etc/mine").write_text("mine")
    (out / "etc/kept").write_text("old")
    (out / "etc/new").symlink_to(out / "elsewhere")
    extract("/etc", to=out)
    found = tree(out)
    assert (found["etc/mine"], found["etc/kept"], found["etc/new"]) == ("mine", "base", "new")
    assert (out / "etc").stat().st_mode & 0o777 == 0o700
    assert "elsewhere" not in found


@pytest.mark.parametrize("there", ["link", "file", "directory"])
def test_nothing_else_is_overwritten(
    extract: Callable[..., Extracted], out: Path, tmp_path: Path, there: str
):
    outside = tmp_path / "outside"
    outside.mkdir()
    if there == "link":
        (out / "etc").symlink_to(outside)
    elif there == "file":
        (out / "etc").write_text("mine")
    else:
        (out / "etc/kept").mkdir(parents=True)
    before = tree(out)
    with pytest.raises(UsageError, match="another kind"):
        extract("/usr", "/etc", to=out)
    assert tree(out) == before
    assert list(outside.iterdir()) == []


def test_a_new_directory_appears_whole(extract: Callable[..., Extracted], out: Path):
    found = extract("/etc/kept", "/usr", to=out / "fresh")
    assert found.places == (out / "fresh/kept", out / "fresh/usr")
    assert set(tree(out)) >= {"fresh/kept", "fresh/usr/bin/tool"}
    assert not [path for path in out.rglob(".*") if path.name != ".."]


def test_a_run_that_changes_nothing(base: Path, out: Path):
    backend = canned.backend(save=canned.save_nothing)
    run_extract(f"oci:{base}", "x", paths="/etc/gone", to=out, backend=backend)
    assert tree(out) == {"gone": "gone"}


def test_content_is_verified(tmp_path: Path, out: Path):
    layer = tar(Member(b"file", content=b"right"))
    base = write_directory(tmp_path / "lying", oci_files(image(layer)))
    backend = canned.backend(save=canned.save_nothing)
    run_extract(f"oci:{base}", "x", paths="/file", to=out, backend=backend)
    (blob,) = [path for path in base.rglob("*") if path.is_file() and path.read_bytes() == layer]
    blob.write_bytes(layer.replace(b"right", b"wrong"))
    with pytest.raises(ArchiveError, match="file"):
        run_extract(f"oci:{base}", "x", paths="/file", tar=out / "x.tar", backend=backend)
    assert not (out / "x.tar").exists()
