"""Upper directories of real overlay mounts (these tests are root's)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.errors import ArchiveError
from runcommit_core.layer.changes import TarChanges
from runcommit_core.layer.upper import UnreadableUpperError, UpperChanges
from runcommit_core.tar.reader import Kind
from tests.filelists import deep_directories
from tests.tars import diff_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def overlay(tmp_path: Path, machine: None) -> Iterator[Callable[..., Path]]:
    """Mounts an overlay over a folder with some files and gives its merged view."""
    for name in ("lower/dir/sub", "upper", "work", "merged"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("file", "gone", "pair", "dir/one", "dir/two", "dir/sub/leaf"):
        (tmp_path / "lower" / name).write_text(name)
    merged = tmp_path / "merged"

    def mount(*options: str) -> Path:
        places = [f"{name}dir={tmp_path / name}" for name in ("lower", "upper", "work")]
        given = ",".join([*places, *options])
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", given, merged], check=True)
        return merged

    yield mount
    if os.path.ismount(merged):
        subprocess.run(["umount", merged], check=True)


def changes(merged: Path) -> UpperChanges:
    subprocess.run(["umount", merged], check=True)
    return UpperChanges(merged.with_name("upper"))


def test_an_upper_directory_may_be_deeper_than_python_calls(tmp_path: Path) -> None:
    with deep_directories(tmp_path / "deep") as depth:
        assert len(UpperChanges(tmp_path).entries) == depth


def test_what_a_container_changes(overlay: Callable[..., Path]) -> None:
    root = overlay("redirect_dir=off", "metacopy=off")
    (root / "gone").unlink()
    (root / "new").write_text("new")
    (root / "new").chmod(0o4751)
    os.utime(root / "new", ns=(0, 1_600_000_000_900_000_000))
    os.link(root / "pair", root / "another")
    (root / "link").symlink_to("../somewhere")
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", 0o020666, os.makedev(1, 3))
    found = changes(root)
    assert found.whiteouts == {b"gone"}
    assert set(found.entries) == {b"new", b"pair", b"another", b"link", b"fifo", b"null"}
    new = found.entries[b"new"]
    assert (new.mode, new.mtime, new.size) == (0o4751, 1_600_000_000, 3)
    assert b"".join(found.content(new)) == b"new"
    assert (found.entries[b"another"].kind, found.entries[b"pair"].link) == ("0", b"another")
    assert found.entries[b"link"].link == b"../somewhere"
    assert found.entries[b"fifo"].kind is Kind.FIFO
    assert (found.entries[b"null"].major, found.entries[b"null"].minor) == (1, 3)


def test_a_directory_made_anew_is_opaque(overlay: Callable[..., Path]) -> None:
    root = overlay("redirect_dir=off")
    subprocess.run(["rm", "-r", root / "dir"], check=True)
    (root / "dir").mkdir()
    (root / "dir/three").write_text("3")
    found = changes(root)
    assert found.opaques == {b"dir"}
    assert set(found.entries) == {b"dir", b"dir/three"}


def test_a_rename_by_reference_is_refused(overlay: Callable[..., Path]) -> None:
    root = overlay("redirect_dir=on")
    (root / "dir").rename(root / "moved")
    with pytest.raises(UnreadableUpperError, match="moved"):
        changes(root)


def test_a_change_of_metadata_only_is_refused(overlay: Callable[..., Path]) -> None:
    root = overlay("metacopy=on")
    (root / "file").chmod(0o600)
    with pytest.raises(UnreadableUpperError, match="file"):
        changes(root)


def test_a_socket_takes_the_place_of_a_file_away(overlay: Callable[..., Path]) -> None:
    root = overlay()
    (root / "file").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(root, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{here}/file")
        os.close(here)
    found = changes(root)
    assert found.whiteouts == {b"file"}
    assert b"file" not in found.entries
    assert len(found.warnings) == 1


def test_a_file_named_like_a_whiteout_is_refused(overlay: Callable[..., Path]) -> None:
    root = overlay()
    (root / ".wh.file").touch()
    with pytest.raises(ArchiveError, match=r"\.wh\.file"):
        changes(root)


@pytest.mark.usefixtures("machine")
def test_only_the_real_root_reads_upper_directories() -> None:
    program = "from runcommit_core.layer.upper import can_read_uppers as can; print(can())"
    told = [
        subprocess.run(
            [*before, sys.executable, "-c", program], capture_output=True, text=True, check=True
        ).stdout.strip()
        for before in ((), ("unshare", "--map-root-user"))
    ]
    assert told == ["True", "False"]


IN_A_NAMESPACE = """
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr merged
rm -r merged/dir merged/gone
mkdir merged/dir
echo 3 > merged/dir/three
ln merged/dir/three merged/dir/twin
umount merged
"$@"
"""


@pytest.mark.usefixtures("machine")
def test_an_overlay_of_a_user_namespace_is_read_there(
    overlay: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = ("-c", "from runcommit_core.engine.saveupper import main; main('raw.tar', 'upper')")
    enter = ("unshare", "--map-root-user", "--mount", "sh", "-ec", IN_A_NAMESPACE, "sh")
    done = subprocess.run([*enter, sys.executable, *program], capture_output=True, check=True)
    with TarChanges(lambda: Path("raw.tar").open("rb"), name="raw") as found:
        assert found.opaques == {b"dir"}
        assert found.whiteouts == {b"gone"}
        assert set(found.entries) == {b"dir", b"dir/three", b"dir/twin"}
        assert found.entries[b"dir/twin"].link == b"dir/three"
    said = {"diff_id": diff_id(Path("raw.tar").read_bytes()), "warnings": []}
    assert json.loads(done.stdout) == said
