"""Outputs appear at once or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runcommit_core.errors import UsageError
from runcommit_core.staging import replacing, staging


def test_nothing_is_in_its_place_before_it_is_published(tmp_path: Path):
    place = tmp_path / "layer.tar"
    with staging() as staged:
        path = staged.beside(place)
        assert path.parent == tmp_path
        path.write_text("new")
        assert not place.exists()
        staged.publish()
        assert place.read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_is_not_published_is_removed(tmp_path: Path, error: type[BaseException]):
    place = tmp_path / "layer.tar"
    place.write_text("of an earlier run")

    def fail() -> None:
        with staging() as staged:
            staged.beside(place).write_text("new")
            staged.beside(tmp_path / "other").write_text("new")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == [place]
    assert place.read_text() == "of an earlier run"


def test_what_was_not_written_takes_an_older_file_away(tmp_path: Path):
    old, never = tmp_path / "old", tmp_path / "never"
    old.write_text("of an earlier run")
    with staging() as staged:
        staged.beside(old)
        staged.beside(never)
        staged.publish()
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_replaced_not_overwritten(tmp_path: Path):
    place, link = tmp_path / "layer.tar", tmp_path / "hard link"
    place.write_text("old")
    link.hardlink_to(place)
    with staging() as staged:
        staged.beside(place).write_text("new")
        staged.publish()
    assert (place.read_text(), link.read_text()) == ("new", "old")


def test_links_are_followed(tmp_path: Path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    link.symlink_to(target)
    for text in ("to a file that is not there yet", "to a file that is there"):
        with staging() as staged:
            staged.beside(link).write_text(text)
            staged.publish()
        assert link.is_symlink()
        assert target.read_text() == text


def test_a_relative_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with staging() as staged:
        path = staged.beside(Path("layer.tar"))
        assert path.is_absolute()
        path.write_text("new")
        monkeypatch.chdir("/")
        staged.publish()
    assert (tmp_path / "layer.tar").read_text() == "new"


def test_the_longest_name(tmp_path: Path):
    place = tmp_path / ("x" * 255)
    with staging() as staged:
        staged.beside(place).write_text("new")
        staged.publish()
    assert place.read_text() == "new"


@pytest.mark.parametrize(
    ("name", "match"),
    [("missing/layer.tar", "no folder"), ("file/layer.tar", "no folder"), ("folder", "a folder")],
)
def test_places_that_cannot_be(tmp_path: Path, name: str, match: str):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with staging() as staged, pytest.raises(UsageError, match=match) as caught:
        staged.beside(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_links_in_a_loop(tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    with staging() as staged, pytest.raises(UsageError, match="loop"):
        staged.beside(tmp_path / "loop")


@pytest.mark.usefixtures("machine")
def test_what_is_no_regular_file_stays(tmp_path: Path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for place in (pipe, Path("/dev/null")):
        with staging() as staged, pytest.raises(UsageError, match="no regular file"):
            staged.beside(place)
        assert place.exists()
        assert not place.is_file()


def test_one_place_for_two_outputs(tmp_path: Path):
    (tmp_path / "link").symlink_to("same")
    for again in ("same", "./same", "link"):
        with staging() as staged:
            staged.beside(tmp_path / "same").write_text("first")
            with pytest.raises(UsageError, match="two outputs"):
                staged.beside(tmp_path / again)
        assert {path.name for path in tmp_path.iterdir()} == {"link"}


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # root may write everywhere, so the answer is ours
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with staging() as staged, pytest.raises(UsageError, match="not writable"):
        staged.beside(tmp_path / "layer.tar")


def test_a_replaced_file_is_the_old_one_until_the_new_one_is_whole(tmp_path: Path):
    place = tmp_path / "record"
    place.write_text("old")
    with replacing(place) as beside:
        assert beside.parent == tmp_path
        assert beside.name.startswith("record.")
        beside.write_text("new")
        assert place.read_text() == "old"
    assert place.read_text() == "new"
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("begun", [True, False])
def test_a_file_is_not_replaced_by_half_of_one(
    tmp_path: Path, error: type[BaseException], begun: bool
):
    place = tmp_path / "record"
    place.write_text("old")

    def fail() -> None:
        with replacing(place) as beside:
            if begun:
                beside.write_text("ne")
            raise error

    with pytest.raises(error):
        fail()
    assert place.read_text() == "old"
    assert list(tmp_path.iterdir()) == [place]


def test_two_who_replace_a_file_do_not_meet(tmp_path: Path):
    place = tmp_path / "record"
    with replacing(place) as one, replacing(place) as other:
        one.write_text("one")
        other.write_text("other")
    assert place.read_text() == "one"
    assert list(tmp_path.iterdir()) == [place]


def test_a_file_of_a_folder_that_is_gone_is_an_error_and_the_block_s(tmp_path: Path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "gone" / "record") as beside:
        beside.write_text("new")
