"""What killed jobs leave, and ``runcommit prune``, without an engine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    EngineError,
    Leftover,
    await_orphans,
    found_copy,
    hookimpl,
    made_by,
    process,
    recalled_copy,
)
from runcommit_core.engine.turns import in_use
from runcommit_core.housekeeping.prune import Choice, Prune, look, remove
from runcommit_core.interface.values import EngineOptions
from runcommit_core.staging import replacing
from tests import canned, images
from tests.test_cli import CANNED, runcommit

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE = images.image(images.layer({"old": b"old"}))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(ONE))}"


@contextlib.contextmanager
def waiting_job(base: str, folder: Path, **env: str) -> Iterator[tuple[process.Running, str]]:
    """A job that waits in its command; its process and its id."""
    said = folder / f"said-{time.monotonic_ns()}"
    jobs = Path(os.environ["RUNCOMMIT_CACHE_DIR"], "jobs")
    before = set(jobs.glob("*.json"))
    argv = (
        *(sys.executable, "-m", "runcommit_core", "run", "-b", "tests.talking:waiting", base),
        *("-c", "true", "-o", str(folder / "layer.tar"), "--image", str(folder / "image")),
    )
    with process.started(*argv, log=said, env=os.environ | env) as running:
        end = time.monotonic() + 30
        while b"waiting" not in said.read_bytes():
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.02)
        (record,) = set(jobs.glob("*.json")) - before
        yield running, record.stem


def kill(running: process.Running) -> None:
    running.send_signal(signal.SIGKILL)
    running.wait(10)


def records(cache: Path) -> list[str]:
    return sorted(path.stem for path in (cache / "jobs").iterdir())


def pruned(*arguments: str, **env: str) -> list[dict[str, Any]]:
    done = runcommit("prune", "--json", *arguments, **env)
    assert done.returncode == 0, done.errors
    found: list[dict[str, Any]] = json.loads(done.output)
    return found


def test_a_job_that_ends_leaves_no_record(base: str, cache: Path):
    assert runcommit("run", "-b", CANNED, base, "-c", "true").returncode == 0
    assert runcommit("run", "-b", "tests.talking:failing", base, "-c", "true").returncode == 5
    assert records(cache) == []


def test_an_interrupted_job_leaves_no_record(base: str, cache: Path, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, _):
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 143
    assert records(cache) == []


def test_files_of_a_killed_job_go_and_those_of_a_living_one_stay(
    base: str, cache: Path, tmp_path: Path
):
    with (
        waiting_job(base, tmp_path) as (killed, killed_id),
        waiting_job(base, tmp_path) as (living, living_id),
    ):
        outputs = tmp_path.glob(".runcommit-*")
        (folder,) = [
            Path(json.loads((cache / "jobs" / f"{job_id}.json").read_bytes())["folder"])
            for job_id in (killed_id,)
        ]
        facts = json.loads((cache / "jobs" / f"{killed_id}.json").read_bytes())
        (folder / "blob").write_bytes(bytes(5000))
        half = tmp_path / f".runcommit-{facts['mark']}-0"
        half.write_bytes(b"half")
        kill(killed)
        rehearsed = pruned("--dry-run")
        assert [(row["kind"], row["name"], row["removed"]) for row in rehearsed] == [
            ("folder", str(folder), False),
            ("output", str(half), False),
        ]
        assert folder.is_dir()
        assert half.exists()
        assert records(cache) == sorted([killed_id, living_id])
        assert rehearsed[0]["size"] >= 5000
        assert [row["removed"] for row in pruned()] == [True, True]
        assert not folder.exists()
        assert not half.exists()
        assert records(cache) == [living_id]
        assert pruned() == []
        living.send_signal(signal.SIGTERM)
        assert living.wait(10) == 143
    assert records(cache) == []
    assert list(outputs) == []


def test_an_image_that_was_to_be_replaced_is_put_back(base: str, cache: Path, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, job_id):
        kill(running)
    facts = json.loads((cache / "jobs" / f"{job_id}.json").read_bytes())
    for name in ("gone", "there"):
        (tmp_path / f".runcommit-{facts['mark']}-0.was.{name}").mkdir()
    (tmp_path / "there").mkdir()
    assert {row["kind"] for row in pruned()} == {"folder", "restored", "output"}
    assert (tmp_path / "gone").is_dir()
    assert list(tmp_path.glob(".runcommit-*")) == []


def test_a_line_says_what_where_and_how_big(base: str, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, _):
        kill(running)
    done = runcommit("prune")
    assert (done.returncode, done.errors) == (0, "")
    kind, backend, name, *size = done.output.split()
    assert (kind, backend, size) == ("folder", "-", ["0", "B"]), done.output
    assert not Path(name).exists()


def test_what_other_caches_know_is_left_alone(base: str, cache: Path, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, job_id):
        kill(running)
    elsewhere = runcommit("prune", RUNCOMMIT_CACHE_DIR=str(tmp_path / "another"))
    assert (elsewhere.returncode, elsewhere.output) == (0, "")
    assert records(cache) == [job_id]
    pruned()


def test_what_another_machine_made_is_left_alone(base: str, cache: Path, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, job_id):
        kill(running)
    path = cache / "jobs" / f"{job_id}.json"
    facts = json.loads(path.read_bytes())
    path.write_text(json.dumps(facts | {"machine": "another"}))
    assert pruned() == []
    path.write_text("{ torn")
    assert pruned() == []
    path.write_text(json.dumps(facts))
    assert [row["kind"] for row in pruned()] == ["folder"]


def test_no_secret_is_in_the_record(base: str, cache: Path, tmp_path: Path):
    secret = "s3cr3t-value"
    with waiting_job(base, tmp_path, TOKEN=secret, DOCKER_HOST="unix:///x") as (_, job_id):
        text = (cache / "jobs" / f"{job_id}.json").read_text()
        mode = (cache / "jobs" / f"{job_id}.json").stat().st_mode & 0o777
    assert secret not in text
    assert "unix:///x" in text
    assert mode == 0o600


def orphaned(base: str, cache: Path, folder: Path, **facts: object) -> str:
    """The id of a killed job whose record says something else now."""
    with waiting_job(base, folder) as (running, job_id):
        kill(running)
    path = cache / "jobs" / f"{job_id}.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | facts))
    return job_id


def test_a_backend_that_is_gone_is_told_and_keeps_prune_from_nothing(
    base: str, cache: Path, tmp_path: Path
):
    gone_id, other_id = (
        orphaned(base, cache, tmp_path, backend="gone"),
        orphaned(base, cache, tmp_path),
    )
    done = runcommit("prune", "--json")
    assert done.returncode == 0, done.errors
    assert gone_id in done.errors
    assert "no backend is called 'gone'" in done.errors
    assert "--forget" in done.errors
    assert {row["job"] for row in json.loads(done.output)} == {gone_id, other_id}
    assert records(cache) == [gone_id]
    path = cache / "jobs" / f"{gone_id}.json"
    path.write_text(path.read_text().replace('"gone"', '"tests.talking:waiting"'))
    assert pruned() == []
    assert records(cache) == []


def test_a_record_is_dropped_on_request(base: str, cache: Path, tmp_path: Path):
    job_id = orphaned(base, cache, tmp_path, backend="gone")
    assert [row["kind"] for row in pruned("--forget", "--dry-run")] == ["folder", "record"]
    assert records(cache) == [job_id]
    assert [row["kind"] for row in pruned("--forget")] == ["folder", "record"]
    assert records(cache) == []


@pytest.mark.parametrize("error", [EngineError("no answer"), KeyError("x"), OSError("y")])
def test_an_engine_that_does_not_answer_keeps_the_record_until_it_is_forgotten(
    cache: Path, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    @hookimpl
    def leftovers(engine: EngineOptions, ids: object) -> list[Leftover]:
        raise error

    job_id = orphaned(base, cache, tmp_path, backend="canned")
    backend = canned.backend(leftovers=leftovers)
    monkeypatch.setattr("runcommit_core.housekeeping.prune.find_backend", lambda _: backend)
    prune = Prune(Choice(), remove)
    assert [each.thing.kind for each in prune.found(())] == ["folder"]
    assert [job_id in problem for problem in prune.problems] == [True]
    assert records(cache) == [job_id]
    prune = Prune(Choice(forget=True), remove)
    assert [each.thing.kind for each in prune.found(())] == ["record"]
    assert prune.problems == []
    assert records(cache) == []


def test_what_a_process_makes_before_it_is_ended_is_found(
    cache: Path, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    orphaned(base, cache, tmp_path, backend="canned")
    made = {"first"}

    @hookimpl
    def leftovers(engine: EngineOptions, ids: object) -> list[Leftover]:
        return [
            Leftover(kind="image", name=name, remove=lambda name=name: made.discard(name))
            for name in sorted(made)
        ]

    backend = canned.backend(leftovers=leftovers)
    monkeypatch.setattr("runcommit_core.housekeeping.prune.find_backend", lambda _: backend)
    running = [SimpleNamespace(pid=1, command="make one more")]
    running[0].end = lambda: (made.add("second"), running.clear())
    monkeypatch.setattr("runcommit_core.housekeeping.prune.orphans", lambda _: list(running))
    found = [each.thing.kind for each in Prune(Choice(), remove).found(())]
    assert found == ["process", "image", "image", "folder"]
    assert made == set()


def test_a_temporary_folder_of_any_name_goes(base: str, cache: Path, tmp_path: Path):
    odd = tmp_path / "Zwischenablage für \u03c0 \\ 7"
    odd.mkdir()
    with waiting_job(base, tmp_path, TMPDIR=str(odd)) as (running, _):
        kill(running)
    assert [row["kind"] for row in pruned()] == ["folder"]
    assert list(odd.iterdir()) == []


@pytest.mark.usefixtures("machine")
def test_what_is_mounted_in_a_folder_of_any_name_is_unmounted(
    base: str, cache: Path, tmp_path: Path
):
    odd = tmp_path / "für \u03c0 \\ 7"
    odd.mkdir()
    with waiting_job(base, tmp_path, TMPDIR=str(odd)) as (running, _):
        (folder,) = odd.iterdir()
        (folder / "mnt").mkdir()
        process.output("mount", "-n", "-t", "tmpfs", "tmpfs", str(folder / "mnt"))
        kill(running)
    assert [row["kind"] for row in pruned(LC_ALL="C")] == ["mount", "folder"]
    assert list(odd.iterdir()) == []


def test_an_old_empty_record_goes(cache: Path):
    pruned()
    jobs = cache / "jobs"
    for name in ("0123456789ab", "ba9876543210"):
        (jobs / f"{name}.json").touch()
    os.utime(jobs / "0123456789ab.json", (time.time() - 7200,) * 2)
    assert [row["kind"] for row in pruned()] == ["record"]
    assert records(cache) == ["ba9876543210"]


def test_two_at_once_and_one_backend_alone(base: str, cache: Path, tmp_path: Path):
    one = orphaned(base, cache, tmp_path)
    two = orphaned(base, cache, tmp_path, backend="gone")
    assert pruned("-b", "nobody") == []
    argv = (sys.executable, "-m", "runcommit_core", "prune")
    with (
        process.started(*argv, log=tmp_path / "first") as first,
        process.started(*argv, log=tmp_path / "second") as second,
    ):
        assert (first.wait(30), second.wait(30)) == (0, 0)
    assert one not in records(cache)
    assert pruned("-b", "gone", "--forget")[-1]["kind"] == "record"
    assert two not in records(cache)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"[" * 100_000,
        b'{"form": 1}',
        b'{"form": 1, "id": 5}',
        b'{"form": 1, "id": "a", "outputs": "/"}',
        b'{"form": 1, "id": "a", "outputs": [5]}',
        b'{"form": 1, "id": "a", "environment": {"HOME": 5}}',
        b'{"form": 1, "id": "a", "form": 1}',
    ],
)
def test_a_record_that_makes_no_sense_is_left_alone(cache: Path, text: bytes):
    path = cache / "jobs" / "0123456789ab.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    done = runcommit("prune", "-v")
    assert (done.returncode, path.read_bytes()) == (0, text), done.errors
    assert "job 0123456789ab" in done.errors


def test_processes_that_a_killed_job_left_are_ended(base: str, tmp_path: Path):
    with waiting_job(base, tmp_path) as (running, job_id):
        kill(running)
    argv = ("sh", "-c", "echo up; while :; do sleep 0.1; done", f"runcommit-{job_id}")
    with process.started(*argv, log=tmp_path / "orphan") as orphan:
        rows = pruned("--dry-run")
        assert rows[0]["kind"] == "process"
        assert rows[0]["name"].startswith(f"{orphan.pid} ")
        assert orphan.poll() is None
        pruned()
        assert orphan.wait(10) < 0


def test_what_an_engine_finishes_by_itself_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    begin = ("sh", "-c", "touch begun; while ! test -e go; do sleep 0.02; done")
    beside = ("sh", "-c", 'setsid "$@" & wait', "sh", *begin, "runcommit-0123456789ab")
    begun = tmp_path / "begun"
    with process.started(*beside, log=tmp_path / "log") as parent:
        while not begun.exists():
            assert parent.poll() is None, "there is no setsid"
            time.sleep(0.02)
        await_orphans(["0123456789ab"], "sh", "-x", patience=0)
        await_orphans(["0123456789ac"], *begin, patience=0)
        with pytest.raises(EngineError, match="still at what a killed job asked for: sh -c"):
            await_orphans(["0123456789ab"], *begin, patience=0.1)
        threading.Timer(0.3, (tmp_path / "go").touch).start()
        await_orphans(["0123456789ab"], *begin)
        assert parent.wait(10) == 0


def test_unfinished_files_of_the_cache_go_when_they_are_old(cache: Path):
    old, new = [], []
    for place in ("digests.json", "bases/0a", "engine-configs/0a", "index/v1/0a", "jobs/0a.json"):
        (cache / place).parent.mkdir(parents=True, exist_ok=True)
        for paths in (old, new):
            paths.append(killed_writer(cache / place))
    for path in old:
        os.utime(path, (time.time() - 7200,) * 2)
    assert {row["name"] for row in pruned()} == set(map(str, old))
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in new)


def killed_writer(place: Path) -> Path:
    """What a writer leaves that was killed before it was done."""
    with contextlib.suppress(InterruptedError), replacing(place) as beside:
        raise InterruptedError
    beside.write_bytes(b"half")
    return beside


def test_ids_are_whole_words():
    job_id = "0123456789ab"
    for name in ("runcommit-{}", "127.0.0.1:5/runcommit/{}:base", "x:{}-0", "runcommit-{}-again"):
        assert made_by(name.format(job_id), [job_id])
    for name in ("runcommit-f{}", "runcommit-{}0", "runcommit-", "localhost/runcommit/base:1"):
        assert not made_by(name.format(job_id), [job_id])


# --- private copies of bases


class Engine:
    """A backend's hooks for an engine that holds copies of bases."""

    def __init__(self) -> None:
        self.copies = {f"localhost/runcommit/base:{name}" for name in ("old", "new", "strange")}

    @hookimpl
    def base_copies(self, engine: EngineOptions) -> list[Leftover]:
        return [
            Leftover(kind="base", name=name, remove=lambda name=name: self.copies.discard(name))
            for name in sorted(self.copies)
        ]


@pytest.fixture
def copies(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine()
    backend = canned.backend(base_copies=engine.base_copies)
    monkeypatch.setattr("runcommit_core.housekeeping.prune.find_backend", lambda _: backend)
    used = cache / "bases"
    used.mkdir(parents=True)
    cache.chmod(0o700)
    for name, age in (("old", 9), ("new", 1)):
        (used / name).touch()
        os.utime(used / name, (time.time() - age * 86400,) * 2)
    return engine


def gone(choice: Choice, **options: Any) -> list[str]:
    prune = Prune(choice, options.get("remove", remove))
    found = [each.thing.name.rpartition(":")[2] for each in prune.found([("x", EngineOptions())])]
    assert prune.problems == []
    return found


@pytest.mark.parametrize("text", [b"", b"[]", b"[" * 100_000, b'{"x": 1}', b'{"x": "a", "x": "b"}'])
def test_ids_of_copies_that_make_no_sense_are_as_good_as_unknown(cache: Path, text: bytes):
    place = cache / "bases" / "0a"
    place.parent.mkdir(parents=True)
    cache.chmod(0o700)
    diff_ids = (f"sha256:{'1' * 64}",)
    job: Any = SimpleNamespace(
        backend="canned",
        engine=EngineOptions(),
        place=None,
        transport=SimpleNamespace(name="localhost/runcommit/base:0a", diff_ids=diff_ids),
    )
    place.write_bytes(text)
    assert recalled_copy(job) == ""
    assert found_copy(job, "id", diff_ids)
    assert recalled_copy(job) == "id"
    assert [path.name for path in place.parent.iterdir()] == ["0a"]


def test_copies_of_bases_go_oldest_first(copies: Engine):
    assert gone(Choice(bases=True), remove=look) == ["old", "new"]
    assert len(copies.copies) == 3
    assert gone(Choice()) == []
    assert gone(Choice(bases=True, older_than=5 * 86400)) == ["old"]
    assert gone(Choice(bases=True)) == ["new"]
    assert gone(Choice(bases=True, strangers=True)) == ["strange"]
    assert copies.copies == set()


def test_a_copy_that_a_living_job_uses_stays(
    copies: Engine, base: str, cache: Path, tmp_path: Path
):
    with waiting_job(base, tmp_path) as (_, job_id):
        name = json.loads((cache / "jobs" / f"{job_id}.json").read_bytes())["base"]
        copies.copies.add(name)
        assert gone(Choice(bases=True, strangers=True)) == ["strange", "old", "new"]
    assert copies.copies == {name}
    assert gone(Choice(bases=True)) == [name.rpartition(":")[2]]


def test_a_copy_that_a_job_begins_to_use_after_the_list_was_made_stays(copies: Engine):
    begun = contextlib.ExitStack()

    def remove_and_begin(thing: Leftover) -> None:
        thing.remove()
        begun.enter_context(in_use("localhost/runcommit/base:new"))

    with begun:
        assert gone(Choice(bases=True), remove=remove_and_begin) == ["old"]
        with in_use("localhost/runcommit/base:new"):
            assert gone(Choice(bases=True)) == []
    assert gone(Choice(bases=True)) == ["new"]


def test_what_cannot_be_removed_is_told(copies: Engine):
    def refuse(thing: Leftover) -> None:
        raise EngineError(f"{thing.name} is in use")

    prune = Prune(Choice(bases=True), refuse)
    assert list(prune.found([("x", EngineOptions())])) == []
    assert len(prune.problems) == 2
    assert "in use" in prune.problems[0]


@pytest.mark.parametrize("age", ["3", "d", "3y", "-1d"])
def test_an_age_is_a_number_and_a_unit(age: str):
    done = runcommit("prune", "--bases", "--older-than", age)
    assert done.returncode == 2
    assert "--older-than" in done.errors
