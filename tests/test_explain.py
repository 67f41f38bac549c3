"""``--explain``: the commands of a real run, before it, and nothing happens."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from runcommit_core import UsageError, explain
from runcommit_core.testing import bases as tiny
from tests import canned, images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

COMMAND = ("-c", "echo new > /data/added")
FOLDER = r"/(?!/)\S*/runcommit-[a-z0-9_]{8}(?=/)"


def base_of_its_own(folder: Path, name: str) -> tiny.Base:
    """One that no engine has: its environment makes it another one."""
    return tiny.busybox(folder / name, {"Env": ["PATH=/bin", f"OWN={folder.name}{name}"]})


def small_base(folder: Path) -> Path:
    one = images.image(images.layer({"a": b"a"}))
    return images.write_directory(folder / "base", images.oci_files(one))


def real_commands(log: str, program: str) -> list[str]:
    """The commands that ``-vv`` tells, with an explanation's words for what is random."""
    found = re.search(r"\brunc?ommit-([0-9a-f]{12})\b", log)
    assert found, log
    log = log.replace(found[1], "JOB")
    log = re.sub(r"127\.0\.0\.1:\d+/[^:\s]+", "127.0.0.1:PORT/REPOSITORY", log)
    log = re.sub(r"/\S*/overlay/[0-9a-f]{64}/diff", "/UPPER", log)
    log = re.sub(r"127\.0\.0\.1%3A\d+%2F\w+%2F\w+", "127.0.0.1%3APORT%2FREPOSITORY", log)
    log = re.sub(FOLDER, "FOLDER", log)
    log = re.sub(r"auth-\d+", "auth-PORT", log)
    starts = (f"runcommit: {program} ", "runcommit: curl ", "runcommit: /")
    return [
        line.removeprefix("runcommit: ") for line in log.splitlines() if line.startswith(starts)
    ]


def explained_words(argv: list[str]) -> str:
    """The upper directory is found beside the mount point, or told by the engine."""
    return re.sub(FOLDER, "FOLDER", shlex.join(argv)).replace("/UPPER/diff", "/UPPER")


@pytest.mark.hosts(
    *("docker", "podman", "podman-rootless", "podman-vfs", "podman-api"),
    *("buildah", "buildah-rootless", "buildah-vfs"),
)
def test_the_commands_of_a_run_are_those_explained(host: Host, shared_tmp: Path):
    for transport in ("auto", "registry", "archive"):
        base = base_of_its_own(shared_tmp, transport)
        job = (
            "run",
            base.ref,
            "--transport",
            transport,
            "--network",
            "none",
            "--no-cache",
            *COMMAND,
        )
        before = host.leftovers()
        explained = json.loads(host.runcommit(*job, "--explain", "--json").stdout)
        assert host.leftovers() == before
        ran = real_commands(host.runcommit(*job, "-vv").stderr, host.program)
        always = [
            explained_words(command["argv"])
            for command in explained["commands"]
            if command["condition"] in {None, "unless the engine has the private copy of the base"}
        ]
        assert sorted(ran) == sorted(always), transport
        if transport != "auto":
            continue
        warm = real_commands(host.runcommit(*job, "-vv").stderr, host.program)
        unconditional = [
            explained_words(command["argv"])
            for command in explained["commands"]
            if command["condition"] is None
        ]
        assert sorted(warm) == sorted(unconditional), transport


@pytest.mark.hosts("podman")
def test_secrets_are_not_explained(host: Host, shared_tmp: Path):
    secret = shared_tmp / "secret"
    secret.write_text("tell-nobody")
    base = base_of_its_own(shared_tmp, "base")
    said = host.runcommit(
        *("run", base.ref, "--secret", f"id=key,src={secret}", "--secret", "id=other,env=OTHER"),
        *("--explain", *COMMAND),
        env={"OTHER": "neither-this"},
    )
    assert "tell-nobody" not in said.stdout + said.stderr
    assert "neither-this" not in said.stdout + said.stderr
    assert "secret key on" in said.stdout


@pytest.mark.parametrize("backend", ["docker", "podman", "buildah"])
def test_an_engine_that_is_not_there_is_explained(backend: str, tmp_path: Path):
    path = small_base(tmp_path)
    plan = explain(
        f"oci:{path}", ["true"], backend=backend, engine_path="/nowhere/engine",
        inputs=[f"{path}:/in"], load="made",
    )  # fmt: skip
    assert plan.engine.problem
    assert {command.argv[0] for command in plan.commands} == {"/nowhere/engine"}
    steps = [command.step for command in plan.commands]
    assert steps[0] == "load"
    assert "run" in steps
    assert steps[-1] == "clean up"
    assert "deliver" in steps
    assert f"{path}" in str(plan)
    assert "which cannot be used now" in str(plan)
    told = re.findall(r"^# (save|extract|deliver|clean up):", str(plan), re.MULTILINE)
    assert [step for step in told if step != "save"] == ["extract", "deliver", "clean up"]
    reads = {command.step: command.reads for command in plan.commands if command.reads}
    assert reads.get("deliver", "the result as an archive") == "the result as an archive"
    assert reads.get("load", "the base as an archive") == "the base as an archive"


def test_an_image_that_only_the_engine_has_is_not_asked_for():
    plan = explain(
        "engine:debian", ["true"], backend="podman", engine_path="/nowhere/engine", load="made"
    )
    assert [command.step for command in plan.commands][:2] == ["resolve", "resolve"]
    assert "localhost/runcommit/base:HASH" in str(plan)
    assert "SOURCE_DATE_EPOCH=EPOCH" in str(plan)
    assert "deliver" in [command.step for command in plan.commands]


def test_every_line_is_one_for_a_shell(tmp_path: Path):
    path = small_base(tmp_path)
    plan = explain(f"oci:{path}", ["echo 'a b'"], backend="podman", engine_path="/nowhere/engine")
    lines = [shlex.split(line, comments=True) for line in str(plan).splitlines()]
    commands = [line for line in lines if line]
    assert commands == [list(command.argv) for command in plan.commands]


def test_nothing_is_written(tmp_path: Path):
    path = small_base(tmp_path)
    before = set(tmp_path.iterdir())
    plan = explain(
        f"oci:{path}", ["true"], backend="podman", engine_path="/nowhere/engine",
        layer=tmp_path / "layer.tar", image=tmp_path / "image", metadata=tmp_path / "report.json",
    )  # fmt: skip
    assert set(tmp_path.iterdir()) == before
    told = dict(plan.facts)
    assert str(tmp_path / "layer.tar") in told["layer"]
    assert str(tmp_path / "report.json") in told["metadata"]


def test_a_backend_that_cannot_be_rehearsed_is_told_of(tmp_path: Path):
    path = small_base(tmp_path)
    with pytest.raises(UsageError, match="'canned' tells no commands beforehand, so no --explain"):
        explain(f"oci:{path}", ["true"], backend=canned.backend())
