"""A shared store that somebody else fills with no results: a miss, and never a failed job."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runcommit_core import run_commit
from runcommit_core.cache.entry import unpack_record
from runcommit_core.cache.store import LARGEST_RECORD
from runcommit_core.cache.untrusted import DamagedEntryError, open_regular, read_regular
from runcommit_core.cli.commands import cli
from tests import canned, images

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core import Result

KEY = "0" * 64
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def job(tmp_path: Path, cache: Path) -> Callable[[], Result]:
    files = images.oci_files(images.image(images.layer({"old": b"old"})))
    base = images.write_directory(tmp_path / "base", files)

    def run() -> Result:
        """A job of a machine that has done nothing yet, beside the shared store."""
        shutil.rmtree(cache, ignore_errors=True)
        return run_commit(
            f"oci:{base}",
            "x",
            backend=canned.backend(),
            network="none",
            cache_store=tmp_path / "shared",
        )

    return run


def fifo(path: Path) -> None:
    os.mkfifo(path)


def dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def link(path: Path) -> None:
    """A link to what was there, which would be right."""
    kept = path.with_name(f"kept-{path.name}")
    path.with_name(f"aside-{path.name}").rename(kept)
    path.symlink_to(kept)


def loop(path: Path) -> None:
    path.symlink_to(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


def sparse(path: Path) -> None:
    """More than any disk here has, and none of it."""
    with path.open("wb") as file:
        file.truncate(1 << 43)


def empty(path: Path) -> None:
    path.touch()


THINGS = (fifo, dangling, link, loop, device, folder, sparse, empty)


@pytest.mark.parametrize("what", ["record", "layer.tar.zst", "."])
@pytest.mark.parametrize("thing", THINGS, ids=[thing.__name__ for thing in THINGS])
def test_what_is_no_file_is_a_miss(
    job: Callable[[], Result], tmp_path: Path, what: str, thing: Callable[[Path], None]
):
    expected = job().layers
    (record,) = (tmp_path / "shared").rglob("record")
    place = record.parent / what
    place.rename(place.with_name(f"aside-{place.name}"))
    thing(place)
    again = job()
    assert again.cache == "miss"
    assert [layer.diff_id for layer in again.layers] == [layer.diff_id for layer in expected]
    assert job().cache == "hit", "a right one has taken its place"


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DamagedEntryError):
        open_regular(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"12345")
    assert read_regular(tmp_path / "file", 5) == b"12345"
    with pytest.raises(DamagedEntryError):
        read_regular(tmp_path / "file", 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "gone", 4)


def packed(body: bytes) -> bytes:
    return images.digest(body).encode() + b"\n" + body


def said(**changed: Any) -> bytes:
    layer = {"diff_id": images.digest(b""), "size": 1, "entries": 1, "changes": [], "warnings": []}
    layer |= changed.pop("in_layer", {})
    return json.dumps({
        "form": 1, "key": KEY, "layer": layer, "warnings": [], "backend": "b", "version": "1",
        "transport": "t", "seconds": 1.5, "commands": "c", "created": 1, **changed,
    }).encode()  # fmt: skip


NO_RECORDS = {
    "nothing": b"",
    "number": b"1",
    "null": b"null",
    "text": b'"x"',
    "list": b"[]",
    "object": b"{}",
    "truth": b"true",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep field": said()[:-1] + b', "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "twice": said()[:-1] + b', "key": "0"}',
    "many names, one twice": said()[:-1]
    + b"".join(b', "%d": 0' % number for number in range(150_000))
    + b', "149999": 0}',
    "many digits": said()[:-1] + b', "x": ' + b"9" * 100_000 + b"}",
    "infinite": said()[:-1] + b', "x": 1e999}',
    "no number": said().replace(b"1.5", b"NaN"),
    "no UTF-8": said(backend="~").replace(b"~", b"\xff"),
    "large": said(commands=" " * LARGEST_RECORD),
    "other form": said(form=2),
    "form of a kind": said(form=[1]),
    "other key": said(key="1" * 64),
    "key of a kind": said(key=[KEY]),
    "layer is text": said(layer="x"),
    "layer is a number": said(layer=1),
    "layer is false": said(layer=False),
    "layer is empty": said(layer={}),
    "warnings are text": said(warnings="x"),
    "warnings hold numbers": said(warnings=[1]),
    "warnings are a number": said(warnings=1),
    "backend is a list": said(backend=["b"]),
    "version is a number": said(version=1),
    "commands are an object": said(commands={}),
    "seconds are text": said(seconds="1"),
    "seconds are negative": said(seconds=-1.0),
    "seconds are true": said(seconds=True),
    "created is a fraction": said(created=1.5),
    "created is late": said(created=1 << 70),
    "diff_id is a list": said(in_layer={"diff_id": []}),
    "diff_id is a path": said(in_layer={"diff_id": "../../x"}),
    "size is negative": said(in_layer={"size": -1}),
    "size is text": said(in_layer={"size": "1"}),
    "size is beyond": said(in_layer={"size": 1 << 70}),
    "entries are null": said(in_layer={"entries": None}),
    "changes are a number": said(in_layer={"changes": 1}),
    "a change is a number": said(in_layer={"changes": [1]}),
    "a change is short": said(in_layer={"changes": [["added", "x"]]}),
    "a change of no kind": said(in_layer={"changes": [["burnt", "x", 1]]}),
    "a change of a number": said(in_layer={"changes": [["added", 1, 1]]}),
    "a change of half a letter": said(in_layer={"changes": [["added", "\ud800", 1]]}),
    "a warning is null": said(in_layer={"warnings": [None]}),
}


def test_the_record_that_the_others_differ_from_is_one():
    assert unpack_record(packed(said()), KEY).seconds == 1.5
    assert unpack_record(packed(said(in_layer={"changes": [["added", "\udcff", 1]]})), KEY).layer


@pytest.mark.parametrize("body", NO_RECORDS.values(), ids=NO_RECORDS)
def test_what_is_no_record_is_damaged(body: bytes):
    with pytest.raises(DamagedEntryError):
        unpack_record(packed(body), KEY)


@pytest.mark.parametrize("name", ["null", "deep lists", "layer is a number", "large", "list"])
def test_what_is_no_record_is_a_miss(job: Callable[[], Result], tmp_path: Path, name: str):
    job()
    (record,) = (tmp_path / "shared").rglob("record")
    record.write_bytes(packed(NO_RECORDS[name]))
    assert [job().cache, job().cache] == ["miss", "hit"]


def test_a_record_that_asks_for_more_than_the_disk_has_is_a_miss(
    job: Callable[[], Result], tmp_path: Path
):
    job()
    (record,) = (tmp_path / "shared").rglob("record")
    document = json.loads(record.read_bytes().partition(b"\n")[2])
    document["layer"]["size"] = 1 << 60
    record.write_bytes(packed(json.dumps(document).encode()))
    assert job().cache == "miss"


def test_what_lies_in_the_own_cache_is_shown_as_damaged(job: Callable[[], Result], cache: Path):
    job()
    (record,) = (cache / "results").rglob("record")
    for number, thing in enumerate(THINGS):
        if thing is link:
            continue
        place = record.parent.with_name(f"{record.parent.name[:2]}{number:062}")
        place.mkdir()
        thing(place / "record")
        thing(place.with_name(f"{record.parent.name[:2]}{number + 100:062}"))
    thing_on_a_shelf = record.parent.parent.with_name("zz")
    thing_on_a_shelf.touch()
    shown = CliRunner().invoke(cli, ["cache", "show"])
    assert shown.exit_code == 0, shown.output
    assert "damaged" in shown.output
    assert CliRunner().invoke(cli, ["cache", "prune", "--all"]).exit_code == 0
    assert not list((cache / "results").rglob("record"))
