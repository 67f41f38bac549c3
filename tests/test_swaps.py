"""Outputs of one job: all of them appear at once, or none, and none is missing in between."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.disk import swaps as swaps_module
from runcommit_core.disk.exchange import exchange
from runcommit_core.disk.places import real_place
from runcommit_core.disk.swaps import put_aside, swapping
from runcommit_core.errors import UsageError
from runcommit_core.staging import PREFIX, mark, staging
from tests import images
from tests.test_cli import CANNED, runcommit

if TYPE_CHECKING:
    from collections.abc import Iterator

STRANGER = 4711


@pytest.fixture(params=["exchange", "none"])
def _with_and_without_exchange(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if request.param == "none":
        monkeypatch.setattr(swaps_module, "exchange", lambda _one, _other: False)


both = pytest.mark.usefixtures("_with_and_without_exchange")


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def layout(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "oci-layout").write_text(text)


def accept(_: Path) -> None:
    """Any folder may be replaced."""


@both
def test_the_last_that_fails_takes_all_back(tmp_path: Path):
    (tmp_path / "file").write_text("old file")
    layout(tmp_path / "image", "old image")
    (tmp_path / "gone").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="blocked"), staging() as staged:  # noqa: PT012
        for name in ("file", "new", "blocked"):
            staged.beside(tmp_path / name).write_text("new")
        staged.beside(tmp_path / "gone")  # nothing is written: it is to go
        layout(staged.folder(tmp_path / "image", accept), "new image")
        (tmp_path / "blocked").mkdir()
        staged.publish()
    (tmp_path / "blocked").rmdir()
    assert tree(tmp_path) == before


@both
def test_a_folder_that_must_stay_takes_all_back(tmp_path: Path):
    (tmp_path / "file").write_text("old file")

    def refuse(place: Path) -> None:
        if place.exists():
            raise UsageError("somebody's things")

    with pytest.raises(UsageError, match="somebody"), staging() as staged:  # noqa: PT012
        staged.beside(tmp_path / "file").write_text("new file")
        layout(staged.folder(tmp_path / "image", refuse), "new image")
        layout(tmp_path / "image", "of somebody")
        staged.publish()
    assert tree(tmp_path) == {"file": "old file", "image/oci-layout": "of somebody"}


@both
def test_all_that_works_leaves_nothing_beside(tmp_path: Path):
    layout(tmp_path / "image", "old image")
    (tmp_path / "file").write_text("old file")
    with staging() as staged:
        staged.beside(tmp_path / "file").write_text("new file")
        layout(staged.folder(tmp_path / "image", accept), "new image")
        staged.publish()
    assert tree(tmp_path) == {"file": "new file", "image/oci-layout": "new image"}
    assert len(list(tmp_path.iterdir())) == 2


@both
@pytest.mark.parametrize("name", ["image", "x" * 255])
def test_a_long_name_and_a_short_one(tmp_path: Path, name: str):
    layout(tmp_path / name, "old")
    with pytest.raises(KeyboardInterrupt), swapping() as swaps:  # noqa: PT012
        layout(tmp_path / "new", "new")
        swaps.put(tmp_path / "new", tmp_path / name)
        assert (tmp_path / name / "oci-layout").read_text() == "new"
        raise KeyboardInterrupt
    assert tree(tmp_path) == {f"{name}/oci-layout": "old", "new/oci-layout": "new"}


def test_no_moment_lacks_the_image(tmp_path: Path):
    place, over, missed = tmp_path / "image", threading.Event(), []
    layout(place, "0")

    def watch() -> None:
        while not over.is_set():
            try:
                (place / "oci-layout").stat()
            except FileNotFoundError:
                missed.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for number in range(200):
            with staging() as staged:
                layout(staged.folder(place, accept), str(number))
                staged.publish()
    finally:
        over.set()
        watcher.join()
    assert missed == []


def test_two_things_change_places(tmp_path: Path):
    (tmp_path / "one").write_text("one")
    layout(tmp_path / "two", "two")
    assert exchange(tmp_path / "one", tmp_path / "two")
    assert tree(tmp_path) == {"two": "one", "one/oci-layout": "two"}
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "one", tmp_path / "three")


def test_a_folder_put_aside_is_known_by_its_name(tmp_path: Path):
    aside = tmp_path / f"{PREFIX}{mark()}-0123456789abcdef.was.image"
    layout(aside, "old")
    assert put_aside(aside) == tmp_path / "image"
    (tmp_path / "image").mkdir()
    assert put_aside(aside) is None
    assert put_aside(tmp_path / f"{PREFIX}{mark()}-0123456789abcdef") is None


@pytest.mark.parametrize("inner_first", [False, True])
@pytest.mark.parametrize("inner", ["image/layer.tar", "image/blobs/x", "way/layer.tar"])
def test_an_output_inside_another_is_refused(tmp_path: Path, inner: str, inner_first: bool):
    layout(tmp_path / "image", "old")
    (tmp_path / "image" / "blobs").mkdir()
    (tmp_path / "way").symlink_to("image")
    steps = [
        lambda staged: staged.folder(tmp_path / "image", accept),
        lambda staged: staged.beside(tmp_path / inner),
    ]
    with staging() as staged, pytest.raises(UsageError, match="lies in"):  # noqa: PT012
        for step in reversed(steps) if inner_first else steps:
            step(staged)
    assert tree(tmp_path) == {"image/oci-layout": "old"}


def test_an_image_inside_an_image_is_refused_before_anything_runs(tmp_path: Path):
    base = images.write_directory(
        tmp_path / "base", images.oci_files(images.image(images.layer({"old": b"old"})))
    )
    layout(tmp_path / "out", "{}")
    done = runcommit(
        *("run", "-b", CANNED, f"oci:{base}", "-c", "x"),
        *("--image", str(tmp_path / "out"), "-o", str(tmp_path / "out" / "layer.tar")),
    )
    assert done.returncode == 2
    assert "lies in" in done.errors


# --- links of strangers


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def strangers(link: Path, target: Path) -> None:
    link.symlink_to(target)
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["link", "way/file", "ours/../link", "ours/on"])
def test_a_strangers_link_in_a_shared_folder_is_not_followed(
    tmp_path: Path, shared: Path, name: str
):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("precious")
    strangers(shared / "link", victim / "file")
    strangers(shared / "way", victim)
    (shared / "ours").mkdir()
    (shared / "ours" / "on").symlink_to("../link")
    with staging() as staged, pytest.raises(UsageError, match="another user"):
        staged.beside(shared / name)
    with staging() as staged, pytest.raises(UsageError, match="another user"):
        staged.folder(shared / name, accept)
    assert (victim / "file").read_text() == "precious"


@pytest.mark.usefixtures("machine")
def test_links_that_count(tmp_path: Path, shared: Path):
    (tmp_path / "ours").mkdir()
    (shared / "ours").symlink_to(tmp_path / "ours")
    assert real_place(shared / "ours" / "x") == tmp_path / "ours" / "x"
    os.chown(shared, STRANGER, STRANGER)
    strangers(shared / "of the folder's owner", tmp_path / "ours")
    assert real_place(shared / "of the folder's owner") == tmp_path / "ours"
    shared.chmod(0o755)
    os.chown(shared, 0, 0)
    assert real_place(shared / "of the folder's owner") == tmp_path / "ours"


@pytest.mark.parametrize(
    "given", ["a/../b", "./a", "missing/../x", "link/../x", "a//b/.", "..", "."]
)
def test_a_real_place_is_what_python_resolves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str
):
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a/deep")
    monkeypatch.chdir(tmp_path)
    assert real_place(Path(given)) == Path(given).resolve()
    assert real_place(tmp_path / given) == (tmp_path / given).resolve()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    "options", [["-o"], ["--image"], ["--metadata"], ["--image", "oci-archive:"]]
)
def test_no_output_follows_a_strangers_link(tmp_path: Path, shared: Path, options: list[str]):
    base = images.write_directory(
        tmp_path / "base", images.oci_files(images.image(images.layer({"old": b"old"})))
    )
    victim = tmp_path / "victim"
    victim.write_text("precious")
    strangers(shared / "out", victim)
    option, prefix = (*options, "")[:2]
    done = runcommit(
        *("run", "-b", CANNED, f"oci:{base}", "-c", "x", option, f"{prefix}{shared / 'out'}")
    )
    assert done.returncode == 2, done.errors
    assert "another user" in done.errors
    assert victim.read_text() == "precious"
