"""``run_commit``: what it returns, what it writes, what it never leaves behind."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import (
    ArchiveError,
    CommandError,
    EngineError,
    EngineInfo,
    EngineOptions,
    Image,
    RawLayer,
    Result,
    SavedImage,
    UsageError,
    hookimpl,
    run_commit,
)
from runcommit_core.oci.base import open_base
from runcommit_core.publish.report import metadata
from runcommit_core.testing import bases, scratch
from runcommit_core.testing.bench import content, image_config
from tests import canned, images

if TYPE_CHECKING:
    from pathlib import Path

    from runcommit_core import Container, Job

CREATED = 1_700_000_000
ONE = images.image(images.layer({"old": b"old"}))


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Caches and temporary folders of the test's own."""
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    (tmp_path / "out").mkdir()


@pytest.fixture
def base(tmp_path: Path) -> str:
    return f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(ONE))}"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    return tmp_path / "tmp"


def job(base: str, commands: str = "true", **options: Any) -> Result:
    return run_commit(
        base, commands, **{"backend": canned.backend(), "console": lambda _: None, **options}
    )


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


# --- the result


def test_the_result_tells_all(base: str, out: Path):
    result = job(base, layer=out / "layer.tar", image=out / "image")
    assert result.backend == "canned"
    assert (result.engine.name, result.engine.version) == ("canned", "1.2")
    assert result.base == open_base(base)
    (layer,) = result.layers
    assert layer.path.name
    data = (out / "layer.tar").read_bytes()
    assert layer.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert layer.size == len(data)
    assert content(out / "layer.tar", "new") == b"content"
    assert result.image is not None
    assert result.image.path == out / "image"
    assert open_base(f"oci:{out / 'image'}").config_digest == result.image.config_digest
    assert open_base(f"oci:{out / 'image'}").manifest_digest == result.image.manifest_digest
    assert result.epoch == CREATED
    assert list(result.seconds) == [*canned.STEPS, "write"]
    assert all(seconds >= 0 for seconds in result.seconds.values())
    assert result.warnings == ()


def test_the_result_cannot_be_changed(base: str):
    with pytest.raises(dataclasses.FrozenInstanceError):
        job(base).epoch = 5  # type: ignore[misc]


def test_metadata_says_what_the_result_says(base: str, out: Path):
    result = job(base, layer=out / "layer.tar", image=out / "image", metadata=out / "metadata.json")
    told = json.loads((out / "metadata.json").read_bytes())
    assert result.image is not None
    assert told["schema_version"] == 1
    assert told["base"] == {
        "reference": result.base.name,
        "config_digest": result.base.config_digest,
        "manifest_digest": result.base.manifest_digest,
        "diff_ids": list(result.base.diff_ids),
    }
    assert [item["diff_id"] for item in told["layers"]] == [result.layers[0].diff_id]
    assert told["layers"][0]["size"] == (out / "layer.tar").stat().st_size
    assert told["images"][0]["path"] == str(out / "image")
    assert told["images"][0]["config_digest"] == result.image.config_digest
    assert told["source_date_epoch"] == CREATED
    assert told["backend"] == "canned"
    assert told["engine"]["version"] == "1.2"
    assert list(told["seconds"]) == [*canned.STEPS, "write"]
    assert told["warnings"] == []


def test_nothing_new(base: str, out: Path):
    for name in ("layer.tar", "metadata.json"):
        (out / name).write_text("of an earlier run")
    result = job(
        base,
        backend=canned.backend(save=canned.save_nothing),
        layer=out / "layer.tar",
        image=out / "image",
        metadata=out / "metadata.json",
    )
    assert result.layers == ()
    assert names(out) == {"image", "metadata.json"}
    assert json.loads((out / "metadata.json").read_bytes())["layers"] == []
    assert image_config(out / "image")["history"][-1]["empty_layer"] is True


def test_always_layer(base: str, out: Path):
    result = job(
        base,
        backend=canned.backend(save=canned.save_nothing),
        always_layer=True,
        layer=out / "layer.tar",
    )
    assert result.layers[0].size == (out / "layer.tar").stat().st_size
    assert not any((out / "layer.tar").read_bytes())


def test_outputs_replace_those_of_an_earlier_run(base: str, out: Path):
    options = {"layer": out / "l", "image": out / "i", "metadata": out / "m"}
    first, second = job(base, **options), job(base, **options)
    assert first.layers[0].diff_id == second.layers[0].diff_id
    assert names(out) == {"l", "i", "m"}


def test_the_console_gets_what_the_command_says(base: str):
    said: list[bytes] = []
    job(base, console=said.append)
    assert b"".join(said) == b"the command speaks\n"


def test_the_default_console_is_standard_error(base: str, capfdbinary: Any):
    run_commit(base, "true", backend=canned.backend())
    assert capfdbinary.readouterr() == (b"", b"the command speaks\n")


def test_paths_may_be_text_and_commands_one_text(base: str, out: Path):
    result = run_commit(
        base, ["true", "true"], backend=canned.backend(), layer=str(out / "l"),
        image=str(out / "i"), metadata=str(out / "m"), console=lambda _: None,
    )  # fmt: skip
    assert result.layers
    assert names(out) == {"l", "i", "m"}
    assert image_config(out / "i")["history"][-1]["created_by"] == "true && true"


# --- what the backend is told


def seen_by_run(base: str, **options: Any) -> Job:
    seen: list[Job] = []

    @hookimpl
    def run(job: Job) -> Container:
        seen.append(job)
        return canned.run(job)

    job(base, backend=canned.backend(run=run), **options)
    return seen[0]


def test_a_job_has_the_bases_defaults(tmp_path: Path):
    one = images.image(settings={"User": "user:group", "WorkingDir": "/data"})
    base = f"oci:{images.write_directory(tmp_path / 'base', images.oci_files(one))}"
    told = seen_by_run(base)
    assert told.run.user == "user:group"
    assert json.loads(told.transport.config)["config"]["WorkingDir"] == "/data"
    told = seen_by_run(base, user="0", workdir="/")
    assert (told.run.user, told.run.workdir) == ("0", "/")


def test_a_job_is_told_what_was_asked_for(base: str):
    told = seen_by_run(
        base,
        commands="echo $x",
        env={"A": "b"},
        network="none",
        run_flags=["--memory", "1g"],
        engine_path="/some/engine",
        engine_flags=["--debug"],
    )
    assert told.argv == ("/bin/sh", "-c", "echo $x")
    assert told.run.env == {"SOURCE_DATE_EPOCH": str(CREATED), "A": "b"}
    assert (told.run.network, told.run.flags) == ("none", ("--memory", "1g"))
    assert told.engine.command("engine") == ("/some/engine", "--debug")
    assert told.base == open_base(base)


def test_two_jobs_never_meet(base: str):
    one, other = seen_by_run(base), seen_by_run(base)
    assert one.id != other.id
    assert one.id in one.name
    assert one.folder != other.folder
    assert one.transport.name == other.transport.name, "a base has one private copy"


def test_the_job_folder_is_private(base: str, temporary: Path):
    modes: list[int] = []

    @hookimpl
    def run(job: Job) -> Container:
        assert job.folder.parent == temporary
        modes.append(job.folder.stat().st_mode & 0o777)
        return canned.run(job)

    job(base, backend=canned.backend(run=run))
    assert modes == [0o700]


def test_without_an_option_the_users_env_may_name_the_epoch(base: str):
    told = seen_by_run(base, env={"SOURCE_DATE_EPOCH": "7"})
    assert told.run.env["SOURCE_DATE_EPOCH"] == "7"
    assert told.layer.epoch == CREATED


# --- nothing stays


class StopError(BaseException):
    """As a signal's."""


ERRORS = [
    CommandError("it failed", command_exit_code=1),
    EngineError("the engine died"),
    ArchiveError("no image"),
    KeyboardInterrupt(),
    StopError(),
    ValueError("a bug"),
]


@pytest.mark.parametrize("step", canned.STEPS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_fails_leaves_nothing(
    base: str, out: Path, temporary: Path, step: str, error: BaseException
):
    (out / "layer.tar").write_text("of an earlier run")
    undone: list[str] = []

    @hookimpl
    def failing(job: Job) -> Any:
        (job.folder / "big").write_bytes(bytes(1000))
        job.output.write_bytes(b"half a layer")
        job.cleanup.callback(undone.append, "last")
        job.cleanup.callback(undone.append, "first")
        raise error

    with pytest.raises(type(error)):
        job(
            base,
            backend=canned.backend(**{step: failing}),
            layer=out / "layer.tar",
            image=out / "image",
            metadata=out / "metadata.json",
        )
    assert undone == ["first", "last"]
    assert names(out) == {"layer.tar"}
    assert (out / "layer.tar").read_text() == "of an earlier run"
    assert names(temporary) == set()


def test_success_leaves_outputs_alone(base: str, out: Path, temporary: Path):
    result = job(base, layer=out / "layer.tar")
    assert names(temporary) == set()
    assert names(out) == {"layer.tar"}
    assert not job(base).layers[0].path.exists()
    assert names(temporary) == set()
    assert result.layers


def test_the_layer_needs_a_folder(base: str, out: Path, temporary: Path):
    ran: list[str] = []

    @hookimpl
    def load(job: Job) -> Image:
        ran.append(job.id)
        return canned.load(job)

    with pytest.raises(UsageError, match="there is no folder"):
        job(base, backend=canned.backend(load=load), layer=out / "missing" / "layer.tar")
    assert ran == [], "known before anything runs"
    assert names(temporary) == set()


def test_an_image_place_that_is_taken_leaves_nothing(base: str, out: Path):
    (out / "image").write_text("mine")
    with pytest.raises(UsageError, match="is no OCI layout"):
        job(base, layer=out / "layer.tar", image=out / "image")
    assert names(out) == {"image"}
    assert (out / "image").read_text() == "mine"


def test_raw_layers_that_are_none(base: str, out: Path, temporary: Path):
    @hookimpl
    def save(job: Job) -> SavedImage:
        saved = canned.save(job)
        broken = dataclasses.replace(saved.layers[0], open=lambda: io.BytesIO(b"x"))
        return dataclasses.replace(saved, layers=(broken,))

    with pytest.raises(ArchiveError):
        job(base, backend=canned.backend(save=save), layer=out / "layer.tar")
    assert names(out) == names(temporary) == set()


# --- on a real root


@pytest.fixture
def busybox(tmp_path: Path, machine: None) -> str:
    return bases.busybox(tmp_path / "busybox").ref


def test_the_epoch_reaches_the_command_and_bounds_the_layer(
    busybox: str, out: Path, monkeypatch: pytest.MonkeyPatch
):
    command = 'echo "$SOURCE_DATE_EPOCH" > /told'
    for variable, option, epoch in ((None, None, CREATED), ("1234", None, 1234), ("1234", 5, 5)):
        if variable:
            monkeypatch.setenv("SOURCE_DATE_EPOCH", variable)
        result = job(
            busybox, command, backend=scratch, source_date_epoch=option, layer=out / "layer.tar"
        )
        assert result.epoch == epoch
        assert content(out / "layer.tar", "told") == f"{epoch}\n".encode()


@pytest.mark.usefixtures("machine")
def test_a_failing_command_tells_its_code_and_last_words(busybox: str, out: Path):
    said: list[bytes] = []
    with pytest.raises(CommandError) as caught:
        run_commit(
            busybox, ["true", "echo words; exit 42"], backend=scratch,
            layer=out / "layer.tar", console=said.append,
        )  # fmt: skip
    assert caught.value.command_exit_code == 42
    assert "command 2 of 2: echo words; exit 42" in str(caught.value)
    assert "words\n" in caught.value.output
    assert b"words\n" in b"".join(said)
    assert names(out) == set()


def test_the_report_asks_the_engine_once(base: str):
    asked: list[object] = []

    @hookimpl
    def describe(engine: EngineOptions) -> EngineInfo:
        asked.append(engine)
        return EngineInfo(name="canned", version="1.2")

    result = job(base, backend=canned.backend(describe=describe))
    assert not asked
    assert metadata(result)["engine"]["version"] == "1.2"
    assert len(asked) == 1


# --- bases that only the engine has


@pytest.mark.parametrize("damage", [b"", b"\xff\n{}", b"\xff\xfe", ONE.config])
def test_a_damaged_note_of_an_engine_s_image_is_made_anew(tmp_path: Path, damage: bytes):
    tar = tmp_path / "layer.tar"
    tar.write_bytes(ONE.layers[0])
    read: list[str] = []

    @hookimpl
    def resolve(reference: str) -> Image:
        return Image(reference, "sha256:0a")

    @hookimpl
    def save(job: Job) -> SavedImage:
        if job.base.diff_ids:
            return canned.save(job=job)
        read.append(job.id)
        raw = RawLayer(ONE.diff_ids[0], lambda: tar.open("rb"))
        return SavedImage(ONE.config, ONE.diff_ids, (raw,))

    backend = canned.backend(resolve=resolve, save=save)
    expected = job("engine:x", backend=backend).layers[0].diff_id
    (note,) = (tmp_path / "cache/engine-configs").iterdir()
    note.write_bytes(damage)
    before = len(read)
    for _ in range(2):
        assert job("engine:x", backend=backend).layers[0].diff_id == expected
        assert len(read) == before + 1
