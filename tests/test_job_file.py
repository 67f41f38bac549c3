"""``runcommit job FILE``: strict, silent when it works, complete when it does not."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, is_typeddict

import jsonschema
import pytest

from runcommit_core import UsageError
from runcommit_core.api import run_extract
from runcommit_core.request import keywords, userenv
from runcommit_core.request.docker_flags import translated
from runcommit_core.request.jobfile import JobFile, keys, read_job
from runcommit_core.testing import bases

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRATCH = "runcommit_core.testing.scratch"
PAGE = Path(__file__).parent.parent / "docs/reference/job-file.md"


def read(folder: Path, job: object) -> JobFile:
    path = folder / "job.json"
    path.write_text(job if isinstance(job, str) else json.dumps(job))
    return read_job(path)


def refused(folder: Path, job: object) -> str:
    with pytest.raises(UsageError) as caught:
        read(folder, job)
    return str(caught.value)


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"base": "b", "colour": "red"}, "unknown key 'colour'"),
        ({"commands": ["true"]}, "the key 'base' is missing"),
        ({"base": 1}, "base: expected a string, found 1"),
        ({"base": "b", "env": {"A": 1}}, 'env: expected an object of strings, found {"A": 1}'),
        ({"base": "b", "always_layer": 1}, "always_layer: expected true or false"),
        ({"base": "b", "source_date_epoch": True}, "source_date_epoch: expected a whole number"),
        ({"base": "b", "argv": "true"}, "argv: expected a list of strings"),
        ({"base": "b", "mtime": "never"}, 'mtime: expected "clamp" or "set"'),
        ({"base": "b", "run_flags": ["'"]}, "run_flags: No closing quotation"),
        ({"base": "b", "shell_on_failure": True}, "unknown key 'shell_on_failure'"),
        ({"base": "b", "console": "c"}, "unknown key 'console'"),
        ({"base": "b", "to": "c"}, "the key 'to' goes with 'paths'"),
        ({"base": "b", "docker_run_flags": ["--user"]}, "--user lacks its value"),
        ('{"base": "a", "base": "b"}', "the name 'base' occurs twice"),
        ("[]", "is an array, where an object must be"),
        ("{", "is not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"timeout": NaN}', "NaN is no JSON number"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_key(tmp_path: Path, job: object, words: str):
    assert words in (message := refused(tmp_path, job))
    assert "job.json" in message or "docker_run_flags" in message


@pytest.mark.parametrize(
    ("job", "valid"),
    [
        ({"base": "b", "commands": ["true"], "timeout": 3, "env": {"A": "1"}, "image": "i"}, True),
        ({"base": "b", "mtime": "set", "network": None, "exclude": "*.bak"}, True),
        ({"base": "b", "colour": "red"}, False),
        ({"commands": ["true"]}, False),
        ({"base": "b", "env": {"A": 1}}, False),
        ({"base": "b", "always_layer": 1}, False),
        ({"base": "b", "argv": "true"}, False),
        ({"base": "b", "mtime": "never"}, False),
    ],
)
def test_the_schema_takes_what_the_reader_takes(tmp_path: Path, job: object, valid: bool):
    schema = json.loads(PAGE.with_name("job.schema.json").read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(job) is valid
    if valid:
        read(tmp_path, job)
    else:
        refused(tmp_path, job)


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="No such file"):
        read_job(tmp_path / "none")


def test_arguments_arrive_as_they_are_and_flags_are_split(tmp_path: Path):
    job = {"base": "b", "env": {"A": "b"}, "timeout": 3, "run_flags": ["--memory '1 g'", "-x"]}
    found = read(tmp_path, job | {"log": "l", "diff_id": "d", "engine_path": None})
    assert found.arguments == job | {"run_flags": ["--memory", "1 g", "-x"], "engine_path": None}
    assert (found.log, found.diff_id, found.extracts) == (Path("l"), Path("d"), False)


def test_paths_make_an_extraction_with_all_its_arguments(tmp_path: Path):
    assert read(tmp_path, {"base": "b", "paths": ["/a"], "places": ["x"]}).extracts
    own = inspect.signature(run_extract).parameters
    assert {
        *keywords.Positional.__annotations__,
        *keywords.ExtractKeywords.__annotations__,
        "keywords",
    } == set(own)


def test_every_argument_that_json_can_say_is_a_key():
    arguments = {*keywords.Positional.__annotations__, *keywords.Keywords.__annotations__}
    missing = {"console", "extraction", "progress", "shell_on_failure"}
    assert arguments - set(keys()) <= missing


def test_the_page_lists_every_key():
    listed = set(re.findall(r"^\| `(\w+)`", PAGE.read_text(), re.MULTILINE))
    assert listed == set(keys())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--entrypoint=", "--rm", "--name", "x"], {}),
        (["--user", "root"], {"user": "root"}),
        (
            ["-uroot", "-w=/srv", "--net=none"],
            {"user": "root", "workdir": "/srv", "network": "none"},
        ),
        (["-e", "A=b=c", "--env=B="], {"env": {"A": "b=c", "B": ""}}),
        (["-e", "HERE", "-e", "NOT_HERE"], {"env": {"HERE": "yes"}}),
        (["--privileged", "-v", "/a:/b"], {"run_flags": ["--privileged", "-v", "/a:/b"]}),
    ],
)
def test_flags_for_docker_become_arguments(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: dict[str, Any]
):
    monkeypatch.setenv("HERE", "yes")
    monkeypatch.delenv("NOT_HERE", raising=False)
    assert translated(words, {}) == expected


def test_arguments_win_over_flags():
    given = {"user": "a", "env": {"A": "a"}, "run_flags": ["-x"]}
    flags = ["-u", "b", "-e", "A=b", "-e", "B=b", "-y"]
    expected = {"user": "a", "env": {"A": "a", "B": "b"}, "run_flags": ["-x", "-y"]}
    assert translated(flags, given) == expected


def test_a_bare_environment_is_filled(monkeypatch: pytest.MonkeyPatch):
    for name in ("HOME", "PATH", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    userenv.set_missing()
    assert Path(os.environ["HOME"]).is_absolute()
    assert os.environ["PATH"].endswith("/sbin")
    monkeypatch.setenv("HOME", "/mine")
    monkeypatch.setenv("PATH", "/mine:/usr/sbin")
    userenv.set_missing()
    assert os.environ["HOME"] == "/mine"
    assert os.environ["PATH"] == "/mine:/usr/sbin:/usr/local/sbin:/sbin"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, machine: None) -> Path:
    return bases.busybox(tmp_path_factory.mktemp("base") / "busybox").path


@pytest.fixture
def start(tmp_path: Path, base: Path) -> Iterator[Any]:
    """Starts ``runcommit job`` in an environment as bare as a build system's."""
    (tmp_path / "tmp").mkdir()
    env = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp")}
    env["RUNCOMMIT_CACHE_DIR"] = str(tmp_path / "cache")

    def started(**job: Any) -> subprocess.Popen[str]:
        path = tmp_path / "job.json"
        path.write_text(json.dumps({"base": str(base), "backend": SCRATCH} | job))
        return stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "runcommit_core", "job", path],
                cwd=tmp_path,
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )

    with contextlib.ExitStack() as stack:
        yield started
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_job_that_works_says_nothing_and_writes_all(start: Any, tmp_path: Path):
    outputs = {"layer": "l.tar", "metadata": "m.json", "diff_id": "d", "log": "said"}
    process = start(commands=["echo hello; echo new > /new"], **outputs)
    assert process.communicate() == ("", "")
    assert process.returncode == 0
    with tarfile.open(tmp_path / "l.tar") as tar:
        assert tar.getnames() == ["new"]
    told = json.loads((tmp_path / "m.json").read_text())
    assert (tmp_path / "d").read_text() == told["layers"][0]["diff_id"] + "\n"
    assert "hello\n" in (tmp_path / "said").read_text()


def test_a_job_that_fails_tells_all_it_said_and_the_code(start: Any, tmp_path: Path):
    process = start(commands=["echo first", "echo second; exit 7"], layer="l.tar", diff_id="d")
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (5, "")
    told = r"first\nsecond\n.*error: the command failed with exit code 7"
    assert re.search(told, stderr, re.DOTALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "job.json", "tmp"]


def test_a_job_extracts(start: Any, tmp_path: Path):
    process = start(commands=["echo new > /new"], paths=["/new"], places=["out"])
    assert process.communicate() == ("", "")
    assert (tmp_path / "out").read_text() == "new\n"


def test_a_job_that_is_ended_cleans_up(start: Any, tmp_path: Path):
    process = start(commands=["echo begun; exec sleep 60"], log="said")
    until = time.monotonic() + 30
    while "begun" not in ((tmp_path / "said").read_text() if (tmp_path / "said").exists() else ""):
        assert time.monotonic() < until
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "interrupted by SIGTERM" in stderr


def test_no_key_means_two_things():
    groups = [group for group in vars(keywords).values() if is_typeddict(group)]
    whole = (keywords.Keywords, keywords.JobFileKeys)
    own = {"diff_id", "docker_run_flags", "log"}
    names = [name for group in groups if group not in whole for name in group.__annotations__]
    assert sorted([*names, *own]) == sorted(keywords.JobFileKeys.__annotations__)


def test_the_stamp_tells_the_code(tmp_path: Path):
    (tmp_path / "runcommit_podman").mkdir()
    changed = tmp_path / "runcommit_podman/__init__.py"
    changed.write_text("one = 1")
    stamps = []
    for path in ("", "", str(tmp_path)):
        env = os.environ | {"PYTHONPATH": path}
        words = [sys.executable, "-m", "runcommit_core", "stamp"]
        done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
        stamps.append(json.loads(done.stdout))
    assert stamps[0] == stamps[1]
    assert stamps[0]["code"] != stamps[2]["code"]
    assert {Path(folder).name for folder in stamps[0]["folders"]} >= {"runcommit_core"}
