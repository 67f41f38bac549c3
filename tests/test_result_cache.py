"""The cache of results: what is found again, what is not, and what happens to damage."""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runcommit_core import (
    CommandError,
    RawLayer,
    ReproducibilityError,
    SavedImage,
    UsageError,
    hookimpl,
    run_commit,
    run_extract,
)
from runcommit_core.cache import key as keys
from runcommit_core.cache.inputs import tree_digest
from runcommit_core.cache.store import DirectoryStore
from runcommit_core.cli.commands import cli
from runcommit_core.interface.job import Job
from runcommit_core.interface.values import EngineOptions, LayerOptions, Mount, RunOptions
from runcommit_core.publish.report import metadata
from tests import canned, images
from tests.tars import diff_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from runcommit_core import Image, Result


class Counting:
    """A backend without an engine that counts its runs, and whose runs change ``content``."""

    def __init__(self, content: bytes | None = b"content") -> None:
        self.__name__ = "counting"
        self.runs = 0
        self.content = content
        self.fails = False

    describe = staticmethod(canned.describe)
    load = staticmethod(canned.load)
    commit = staticmethod(canned.commit)

    @hookimpl
    def run(self, job: Job) -> Any:
        self.runs += 1
        if self.fails:
            raise CommandError("no", command_exit_code=1)
        return canned.run(job)

    @hookimpl
    def save(self, job: Job, image: Image) -> SavedImage:
        if self.content is None:
            return canned.save_nothing(job)
        tar = images.layer({f"new-{'-'.join(job.argv)[-4:].strip()}": self.content})
        layer = RawLayer(diff_id(tar), lambda: io.BytesIO(tar))
        return SavedImage(b"", (*job.base.diff_ids, layer.diff_id), (layer,))


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def base(tmp_path: Path) -> str:
    files = images.oci_files(images.image(images.layer({"old": b"old"})))
    return f"oci:{images.write_directory(tmp_path / 'base', files)}"


@pytest.fixture
def backend() -> Counting:
    return Counting()


@pytest.fixture
def job(base: str, backend: Counting) -> Callable[..., Result]:
    def run(commands: Any = "true", **options: Any) -> Result:
        return run_commit(base, commands, **{"backend": backend, "network": "none", **options})

    return run


def stored(cache: Path, name: str) -> list[Path]:
    return sorted((cache / "results").rglob(name))


def test_a_hit_gives_the_same_without_a_run(
    job: Callable[..., Result], backend: Counting, tmp_path: Path
):
    one = job(layer=tmp_path / "1.tar", image=tmp_path / "1", metadata=tmp_path / "m")
    two = job(layer=tmp_path / "2.tar", image=tmp_path / "2", metadata=tmp_path / "m")
    assert (one.cache, two.cache, backend.runs) == ("miss", "hit", 1)
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert one.image
    assert two.image
    assert one.image.manifest_digest == two.image.manifest_digest
    assert one.layers[0].report == two.layers[0].report
    assert (two.backend, two.engine.version, two.transport) == ("counting", "1.2", "cache")
    told = metadata(two)
    assert (told["cache"], list(told["seconds"])) == ("hit", ["cache", "write"])


def test_outputs_are_no_part_of_the_key(job: Callable[..., Result], tmp_path: Path):
    job()
    options = {
        "image": tmp_path / "image", "labels": {"a": "b"}, "compression": "zstd",
        "layer": tmp_path / "layer", "transport": "archive", "engine_path": "/elsewhere",
        "memory": "100m", "timeout": 100,
    }  # fmt: skip
    assert job(**options).cache == "hit"


def test_no_layer_is_a_result_too(job: Callable[..., Result], backend: Counting):
    backend.content = None
    assert [job().cache, job().cache, len(job().layers)] == ["miss", "hit", 0]
    assert job(always_layer=True).cache == "miss"
    again = job(always_layer=True)
    assert (again.cache, len(again.layers), backend.runs) == ("hit", 1, 2)


def test_each_command_of_a_split_job(job: Callable[..., Result], backend: Counting):
    one = job(["echo 1", "echo 2"], split=True)
    two = job(["echo 1", "echo 3"], split=True)
    assert (one.cache, two.cache, backend.runs) == ("miss", "miss", 3)
    three = job(["echo 1", "echo 3"], split=True)
    assert (three.cache, backend.runs) == ("hit", 3)
    assert [layer.diff_id for layer in two.layers] == [layer.diff_id for layer in three.layers]


def test_auto_asks_no_engine_for_a_hit(job: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    job()
    monkeypatch.setenv("PATH", "/nowhere")
    assert job(backend="auto").cache == "hit"
    assert job(backend="podman").cache == "hit"


def test_an_extraction_needs_no_run_either(
    job: Callable[..., Result], base: str, backend: Counting, tmp_path: Path
):
    job()
    (tmp_path / "out").mkdir()
    found = run_extract(
        base, "true", paths="/old", to=tmp_path / "out", backend=backend, network="none"
    )
    assert (found.result.cache, backend.runs) == ("hit", 1)
    assert (tmp_path / "out/old").read_bytes() == b"old"


@pytest.mark.parametrize(
    "options",
    [
        {"env": {"A": "b"}},
        {"user": "1"},
        {"workdir": "/x"},
        {"source_date_epoch": 5},
        {"mtime": "set"},
        {"xattrs": True},
        {"exclude": ["new"]},
        {"clean": ["logs"]},
        {"always_layer": True},
        {"mounts": ["type=tmpfs,target=/t"]},
    ],
    ids=str,
)
def test_what_can_change_the_result_is_part_of_the_key(
    job: Callable[..., Result], options: dict[str, Any]
):
    job()
    assert job(**options).cache == "miss"
    assert job(**options).cache == "hit"


def test_inputs_count_by_their_content(job: Callable[..., Result], tmp_path: Path):
    folder = tmp_path / "input"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/file").write_text("one")
    options = {"inputs": [f"{folder}:/in"]}
    assert [job(**options).cache, job(**options).cache] == ["miss", "hit"]
    (folder / "sub/file").write_text("two")
    assert [job(**options).cache, job(**options).cache] == ["miss", "hit"]
    copied = tmp_path / "other"
    shutil.copytree(folder, copied)
    assert job(inputs=[f"{copied}:/in"]).cache == "hit"
    assert job(inputs=[f"{copied}:/elsewhere"]).cache == "miss"


def test_the_digest_of_an_input(tmp_path: Path):
    folder = tmp_path / "input"
    folder.mkdir()
    seen = {tree_digest(folder, 0)}

    def change(do: Callable[[], object]) -> None:
        do()
        digest = tree_digest(folder, 5)
        assert digest not in seen
        seen.add(digest)

    change(lambda: (folder / "a").write_text("a"))
    change(lambda: (folder / "a").chmod(0o600))
    change(lambda: (folder / "a").rename(folder / "b"))
    change(lambda: (folder / "l").symlink_to("b"))
    change(lambda: (folder / "l2").symlink_to("nothing"))
    change((folder / "d").mkdir)
    change(lambda: os.utime(folder / "b", (1, 1)))
    change(lambda: os.mkfifo(folder / "f"))
    change(lambda: (folder / "c").hardlink_to(folder / "b"))
    change(lambda: os.setxattr(folder / "b", "user.a", b"1"))
    change(lambda: os.setxattr(folder / "b", "user.a", b"2"))
    assert tree_digest(folder, 5) in seen


def test_secrets_never_count(job: Callable[..., Result], cache: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("the first secret value")
    options = {"secrets": [f"id=token,src={secret}"]}
    assert job(**options).cache == "miss"
    secret.write_text("another")
    assert job(**options).cache == "hit"
    for other in ("id=other", "id=token,mode=0440", "id=token,uid=0", "id=token,gid=0"):
        assert job(secrets=[f"{other},src={secret}"]).cache == "miss", other
    kept = b"".join(path.read_bytes() for path in cache.rglob("*") if path.is_file())
    assert b"first secret" not in kept


@pytest.mark.parametrize(
    "options",
    [
        {"network": None},
        {"network": "host"},
        {"run_flags": ["--x"]},
        {"engine_flags": ["--x"]},
        {"mounts": ["type=cache,target=/t"]},
        {"mounts": ["type=bind,source=/usr,target=/t"]},
        {"cache": "off"},
        {"plugins": [type("Plugin", (), {"__repr__": lambda _: "a plugin"})()]},
    ],
    ids=str,
)
def test_jobs_that_are_not_hermetic_run(job: Callable[..., Result], options: dict[str, Any]):
    assert [job(**options).cache, job(**options).cache] == ["off", "off"]


def test_always_means_always(job: Callable[..., Result], monkeypatch: pytest.MonkeyPatch):
    options = {"network": None, "run_flags": ["--x"]}
    monkeypatch.setenv("RUNCOMMIT_CACHE", "always")
    assert [job(**options).cache, job(**options).cache] == ["miss", "hit"]
    other = Counting()
    other.__name__ = "other"
    assert job(**options, backend=other).cache == "miss", "flags mean something else to another"
    with pytest.raises(UsageError, match="sometimes"):
        job(cache="sometimes")


def test_checks_run_the_command(job: Callable[..., Result], backend: Counting):
    job()
    backend.content = b"other"
    assert job(check_reproducible=True).cache == "off"
    assert backend.runs == 3
    backend.fails = True
    with pytest.raises(CommandError):
        job("false")
    with pytest.raises((CommandError, ReproducibilityError)):
        job(check_reproducible=True)
    backend.fails = False
    assert job("false").cache == "miss", "a failure was kept"


@pytest.mark.parametrize("what", ["record", "layer.tar.zst"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_a_miss(
    job: Callable[..., Result],
    cache: Path,
    what: str,
    damage: str,
    caplog: pytest.LogCaptureFixture,
):
    expected = job().layers[0].diff_id
    (path,) = stored(cache, what)
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    again = job()
    assert (again.cache, again.layers[0].diff_id) == ("miss", expected)
    assert ("damaged" in caplog.text) == ((what, damage) != ("record", "gone"))
    assert job().cache == "hit"


def test_what_is_no_result_makes_way_for_one(job: Callable[..., Result], cache: Path):
    job()
    (record,) = stored(cache, "record")
    shutil.rmtree(record.parent)
    record.parent.write_text("a file")
    assert [job().cache, job().cache] == ["miss", "hit"]
    assert not list((cache / "results").rglob(".*"))


def test_two_jobs_at_once(job: Callable[..., Result], cache: Path):
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: job(), range(8)))
    assert len({result.layers[0].diff_id for result in results}) == 1
    assert len(stored(cache, "record")) == 1
    assert not list((cache / "results").rglob(".*"))
    assert job().cache == "hit"


def test_the_least_recently_used_go(tmp_path: Path):
    store = DirectoryStore(tmp_path, limit=100_000)

    def layer(place: Path) -> None:
        place.write_bytes(os.urandom(40_000))

    for number in range(3):
        store.put(f"{number:064}", b"record", layer)
        time.sleep(0.02)
        store.get(f"{0:064}", tmp_path)
    assert [kept.key[-1] for kept in store.kept()] == ["2", "0"]
    store.put(f"{9:064}", b"record", lambda place: place.write_bytes(os.urandom(200_000)) and None)
    assert [kept.key[-1] for kept in store.kept()] == ["2", "0"]


def test_a_shared_directory(job: Callable[..., Result], cache: Path, tmp_path: Path, base: str):
    store = tmp_path / "shared"
    assert job(cache_store=store).cache == "miss"
    shutil.rmtree(cache)
    assert job(cache_store=store).cache == "hit"
    assert job().cache == "hit", "what came from the shared store was not kept here"
    (layer,) = store.rglob("layer.tar.zst")
    layer.write_bytes(b"planted")
    shutil.rmtree(cache)
    assert job(cache_store=store).cache == "miss"
    assert base


def test_a_store_that_is_down_fails_no_job(
    job: Callable[..., Result], tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    (tmp_path / "file").write_text("")
    assert job(cache_store=tmp_path / "file").cache == "miss"
    assert job("other", cache_store="oci://127.0.0.1:1/cache").cache == "miss"
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len([line for line in said if "cannot use the cache" in line]) == 2, said
    assert said[-1].endswith("/cache: cannot reach 127.0.0.1:1: Connection refused")
    with pytest.raises(UsageError):
        job(cache_store="oci://no-repository")
    with pytest.raises(UsageError):
        job(cache_store="s3://bucket")


def test_every_field_is_classified():
    for kind, rules in (
        (RunOptions, keys.RUN),
        (LayerOptions, keys.LAYER),
        (Mount, keys.MOUNT),
        (Job, keys.JOB),
    ):
        names = {field.name for field in dataclasses.fields(kind)}
        assert names == set(rules), f"say in cache/key.py what of {kind.__name__} counts"
    assert {field.name for field in dataclasses.fields(EngineOptions)} == {"path", "flags"}


def test_the_verbs(job: Callable[..., Result], cache: Path):
    job("echo shown")
    shown = CliRunner().invoke(cli, ["cache", "show"])
    assert "echo shown" in shown.output
    assert "1 results, 1 indexes" in shown.output
    asked = CliRunner().invoke(cli, ["cache", "prune", "--older-than", "1d", "--json"])
    assert asked.output.startswith("[]")
    assert CliRunner().invoke(cli, ["cache", "prune", "--all", "--dry-run"]).exit_code == 0
    assert stored(cache, "record")
    assert CliRunner().invoke(cli, ["cache", "prune", "--size", "1k"]).exit_code == 0
    assert not stored(cache, "record")
    job("echo shown")
    assert CliRunner().invoke(cli, ["cache", "prune", "--all"]).exit_code == 0
    assert not list(cache.rglob("*.sqlite3"))
    assert CliRunner().invoke(cli, ["cache", "show", "--json"]).exit_code == 0
