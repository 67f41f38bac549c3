"""The command line: results on stdout and nothing else, an exit code per kind of error."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from runcommit_core import (
    ArchiveError,
    BackendContractError,
    CommandError,
    EngineError,
    ReproducibilityError,
    RuncommitError,
    UnknownBackendError,
    UsageError,
    process,
)
from runcommit_core.cli.commands import cli
from runcommit_core.cli.entry import InterruptedBySignalError, run
from runcommit_core.oci.base import open_base
from tests import images
from tests.terminals import terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

TOP = Path(__file__).parent.parent
LOWER = images.layer({"lower": b"lower"})
UPPER = images.layer({"upper": b"upper"})
CANNED = "tests.talking:plain"


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("SOURCE_DATE_EPOCH", "RUNCOMMIT_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path: Path) -> str:
    files = images.oci_files(images.image(LOWER, UPPER, compression="gzip"))
    return f"oci:{images.write_directory(tmp_path / 'base', files)}"


def runcommit(*arguments: str | os.PathLike[str], **env: str) -> process.Completed:
    """As a user starts it."""
    words = [os.fspath(argument) for argument in arguments]
    return process.attempt(sys.executable, "-m", "runcommit_core", *words, env=os.environ | env)


def job(base: str, *arguments: str | os.PathLike[str]) -> process.Completed:
    return runcommit("run", "-b", CANNED, base, "-c", "true", *arguments)


# --- results


def test_the_result_alone_is_on_stdout(base: str, tmp_path: Path):
    done = job(base, "-o", tmp_path / "layer.tar")
    diff_id = hashlib.sha256((tmp_path / "layer.tar").read_bytes()).hexdigest()
    assert (done.returncode, done.output) == (0, f"sha256:{diff_id}\n")
    assert done.errors == "the command speaks\n"


@pytest.mark.parametrize("verb", ["run", "extract"])
def test_a_tar_on_standard_output(base: str, tmp_path: Path, verb: str):
    words = ("-b", CANNED, base, "-c", "true", *(("--path", "/upper") if verb == "extract" else ()))
    assert runcommit(verb, *words, "-o", tmp_path / "file.tar").returncode == 0
    env = {**os.environ, "PYTHONPATH": str(TOP)}
    with (tmp_path / "stdout").open("wb") as stdout:
        command = [sys.executable, "-m", "runcommit_core", verb, *words, "-o", "-"]
        subprocess.run(command, stdout=stdout, cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "stdout").read_bytes() == (tmp_path / "file.tar").read_bytes()
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize("flag", ["--json", "--split"])
def test_standard_output_has_one_use(base: str, flag: str):
    done = job(base, "-o", "-", flag)
    assert (done.returncode, done.output) == (2, "")
    assert f"-o - and {flag} cannot go together" in done.errors


def test_no_tar_for_a_terminal(base: str):
    with terminal(80) as screen:
        words = (sys.executable, "-m", "runcommit_core", "run", "-b", CANNED, base, "-c", "true")
        process = screen.start(subprocess.Popen, [*words, "-o", "-"])
        assert screen.finish(process) == 2
        assert "would write a tar to the terminal" in screen.text()


def test_json_is_the_metadata(base: str, tmp_path: Path):
    done = job(base, "--json", "--metadata", tmp_path / "metadata.json")
    assert json.loads(done.output) == json.loads((tmp_path / "metadata.json").read_bytes())
    assert json.loads(done.output)["backend"] == CANNED


@pytest.mark.parametrize(
    ("flags", "steps", "engine"),
    [([], False, False), (["-v"], True, False), (["-vv"], True, True), (["-v", "-v"], True, True)],
)
def test_verbosity(base: str, flags: list[str], *, steps: bool, engine: bool):
    done = runcommit("run", "-b", "tests.talking:engine", base, "-c", "true", *flags)
    assert done.returncode == 0, done.errors
    assert done.output.startswith("sha256:")
    assert ("runcommit: extract" in done.errors) is steps
    assert ("runcommit: /bin/echo engine" in done.errors) is engine


def test_quiet_leaves_the_commands_words_and_errors(tmp_path: Path, base: str):
    done = runcommit("run", "-q", "-b", "tests.talking:idle", base, "-c", "true")
    assert (done.returncode, done.output, done.errors) == (0, "", "the command speaks\n")
    loud = runcommit("run", "-b", "tests.talking:idle", base, "-c", "true")
    assert loud.errors == "the command speaks\nruncommit: no new layer: nothing changed\n"
    failed = runcommit("run", "-q", "-b", CANNED, str(tmp_path / "missing"), "-c", "true")
    assert failed.errors.startswith("runcommit: error: ")


def test_layer_last(base: str, tmp_path: Path):
    done = runcommit("layer", "last", base)
    assert (done.returncode, done.output, done.errors) == (0, f"{images.digest(UPPER)}\n", "")
    done = runcommit("layer", "last", base, "-o", tmp_path / "last.tar")
    assert done.output == f"{images.digest(UPPER)}\n"
    assert (tmp_path / "last.tar").read_bytes() == UPPER


def test_layer_last_verifies(base: str, tmp_path: Path):
    region = open_base(base).layers[-1].region
    assert region is not None
    region.path.write_bytes(images.compress(LOWER, "gzip").ljust(region.size, b"\0"))
    done = runcommit("layer", "last", base, "-o", tmp_path / "out.tar")
    assert (done.returncode, done.output) == (6, "")
    assert not (tmp_path / "out.tar").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_image_id(base: str):
    image = open_base(base)
    done = runcommit("image", "id", base)
    assert (done.returncode, done.output, done.errors) == (0, f"{image.config_digest}\n", "")
    told = json.loads(runcommit("image", "id", "--json", base).output)
    assert told["docker"] == told["config_digest"] == image.config_digest
    assert told["docker_containerd_store"] == told["manifest_digest"] == image.manifest_digest
    assert f"sha256:{told['podman']}" == f"sha256:{told['buildah']}" == image.config_digest


def test_image_id_of_an_archive_without_a_manifest(tmp_path: Path):
    one = images.image(LOWER)
    path = images.write_archive(tmp_path / "base.tar", images.podman_files(one))
    told = json.loads(runcommit("image", "id", "--json", f"docker-archive:{path}").output)
    assert told["config_digest"] == images.digest(one.config)
    assert told["manifest_digest"] is None


def test_backends(tmp_path: Path):
    path = str(tmp_path / "no-engine")
    done = runcommit("backends", "--json", "--engine-path", path)
    rows = {row["name"]: row for row in json.loads(done.output)}
    assert done.returncode == 0
    assert {"docker", "podman", "buildah"} <= set(rows)
    for row in rows.values():
        assert row["usable"] is False
        assert path in row["problem"]
        assert row["engine_version"] is None
        assert row["rootless"] is None
    table = runcommit("backends", "--engine-path", path).output.splitlines()
    assert table[0].split() == ["BACKEND", "DISTRIBUTION", "ENGINE", "MODE", "STORAGE", "USABLE"]
    assert [line.split()[0] for line in table[1:]] == [row["name"] for row in rows.values()]
    *engines, native = table[1:]
    assert all("no: cannot start" in line for line in engines)
    assert "no: it has no program" in native


# --- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuncommitError("x"), 1),
        (UsageError("x"), 2),
        (UnknownBackendError("x"), 2),
        (BackendContractError("x"), 3),
        (EngineError("x", argv=["docker", "a b"], output="last words"), 4),
        (CommandError("x", command_exit_code=99), 5),
        (ArchiveError("x"), 6),
        (ReproducibilityError("x"), 7),
        (InterruptedBySignalError(signal.SIGINT), 130),
        (InterruptedBySignalError(signal.SIGTERM), 143),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
def test_each_kind_of_error_has_its_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
):
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr("runcommit_core.cli.commands.cli.main", fail)
    assert run() == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("runcommit: ")
    if isinstance(error, RuncommitError):
        assert f"error: {error}\n" in said.err


def test_a_tip_follows_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(**_: Any) -> None:
        raise UsageError("what", tip="do this")

    monkeypatch.setattr("runcommit_core.cli.commands.cli.main", fail)
    assert run() == 2
    assert capsys.readouterr().err == "runcommit: error: what\nruncommit: tip: do this\n"


def test_errors_in_real_life(base: str, tmp_path: Path):
    (tmp_path / "junk").write_bytes(b"junk")
    for code, arguments in (
        (2, ("run", "-b", "nothing", base, "-c", "true")),
        (2, ("run", "-b", CANNED, base)),
        (2, ("run", "-b", CANNED, base, "-c", "true", "--", "true")),
        (2, ("run", "-b", CANNED, base, "-c", "true", "-o", str(tmp_path / "no" / "file"))),
        (3, ("run", "-b", "tests.talking:half", base, "-c", "true")),
        (4, ("run", "-b", "docker", "--engine-path", "/no/engine", base, "-c", "true")),
        (5, ("run", "-b", "tests.talking:failing", base, "-c", "true")),
        (6, ("run", "-b", CANNED, str(tmp_path / "junk"), "-c", "true")),
        (6, ("layer", "last", str(tmp_path / "junk"))),
        (6, ("image", "id", str(tmp_path / "missing"))),
    ):
        done = runcommit(*arguments)
        assert done.returncode == code, (arguments, done.errors)
        assert done.output == ""
        assert "runcommit: error: " in done.errors
        assert "Traceback" not in done.errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["frobnicate"], "No such command"),
        (["run"], "Missing argument 'BASE'"),
        (["run", "--frobnicate", "x"], "No such option"),
        (["run", "x", "--transport", "pigeon"], "pigeon"),
        (["run", "x", "--source-date-epoch", "yesterday"], "yesterday"),
        (["run", "x", "-c", "true", "-e", "=value"], "has no name"),
        (["run", "x", "-c", "true", "-e", "RUNCOMMIT_NOT_SET"], "is not set here"),
        (["run", "x", "-c", "true", "--run-flag", "'open"], "No closing quotation"),
        (["run", "x", "-c", "true", "--engine-flag", ""], "is empty"),
        (["run", "x", "-c", "true", "--shell", " "], "is empty"),
    ],
)
def test_options_that_make_no_sense(arguments: list[str], words: str):
    done = runcommit(*arguments)
    assert (done.returncode, done.output) == (2, "")
    assert words in done.errors
    assert "Traceback" not in done.errors


# --- what options become


def test_words_reach_the_job_as_given(base: str, tmp_path: Path):
    done = runcommit(
        "run", "-e", "A=b=c d", "-e", "PASSED", "-e", "EMPTY=", "-u", "user", "-w", "/x",
        "--network", "none", "--run-flag", "--memory '1 g'", "--run-flag", "-x",
        "--engine-flag", "--log-level debug", "--engine-path", "/an/engine",
        base, "--", "prog", "-o", "a b", "--", "",
        RUNCOMMIT_BACKEND="tests.talking:telling", PASSED="from here",
    )  # fmt: skip
    assert done.returncode == 0, done.errors
    told = json.loads(done.errors.splitlines()[0])
    assert told["argv"] == ["prog", "-o", "a b", "--", ""]
    given = {key: told["env"][key] for key in ("A", "PASSED", "EMPTY")}
    assert given == {"A": "b=c d", "PASSED": "from here", "EMPTY": ""}
    assert (told["user"], told["workdir"], told["network"]) == ("user", "/x", "none")
    assert told["flags"] == ["--memory", "1 g", "-x"]
    assert told["engine"] == ["/an/engine", "--log-level", "debug"]


def test_commands_scripts_and_shells(base: str, tmp_path: Path):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh -e\ntrue\n")
    telling = ("run", "-b", "tests.talking:telling", base)
    for arguments, argv in (
        (("-c", "a  b"), ["/bin/sh", "-c", "a  b"]),
        (("-c", "x", "--shell", "bash -o 'pipe fail' -c"), ["bash", "-o", "pipe fail", "-c", "x"]),
        (("--script", str(script)), ["/bin/sh", "-e", "-c", "#!/bin/sh -e\ntrue\n"]),
    ):
        done = runcommit(*telling, *arguments)
        assert json.loads(done.errors.splitlines()[0])["argv"] == argv


# --- help and start


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("verb", [[], ["run"], ["layer"], ["layer", "last"], ["image", "id"]])
def test_help(verb: list[str], flag: str):
    done = runcommit(*verb, flag)
    assert done.returncode == 0
    assert done.output.startswith("Usage: ")
    assert done.errors == ""


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for name, verb in getattr(command, "commands", {}).items():
        yield from verbs(verb, (*path, name))


def test_no_help_shows_what_is_meant_for_click():
    for path in verbs(cli):
        said = CliRunner().invoke(cli, [*path, "--help"]).output
        assert said.startswith("Usage: ")
        assert "\\b" not in said, path


def test_help_of_run_tells_the_exit_codes():
    said = runcommit("run", "--help").output
    for word in ("Exit codes", "130", "--layer", "--backend", "oci:PATH[:NAME]"):
        assert word in said


def test_version():
    import importlib.metadata

    done = runcommit("--version")
    assert done.output.split()[-1] == importlib.metadata.version("runcommit")


HEAVY = ("pluggy", "http.server", "socketserver", "sqlite3", "subprocess", "asyncio", "tarfile")


@pytest.mark.usefixtures("unmeasured")
@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]):
    program = (
        "import sys, atexit\n"
        f"found = lambda: sorted({{*{HEAVY}}} & {{*sys.modules}})\n"
        "atexit.register(lambda: print(found(), file=sys.stderr))\n"
        f"sys.argv = ['runcommit', *{arguments}]\n"
        "from runcommit_core.cli import main\n"
        "main()\n"
    )
    assert process.attempt(sys.executable, "-c", program).errors == "[]\n"


def test_the_library_is_imported_by_need():
    program = (
        "import sys, runcommit_core as core\n"
        "assert not [n for n in sys.modules if n.startswith('runcommit_core.')]\n"
        "assert all(getattr(core, name) for name in core.__all__)\n"
    )
    done = process.attempt(sys.executable, "-c", program)
    assert done.returncode == 0, done.errors


def test_unknown_names_of_the_library():
    import runcommit_core

    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = runcommit_core.nothing


# --- signals and pipes


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unwinds(base: str, tmp_path: Path, number: signal.Signals):
    log, place = tmp_path / "log", tmp_path / "layer.tar"
    (tmp_path / "tmp").mkdir()
    arguments = ("run", "-b", "tests.talking:waiting", base, "-c", "true", "-o", str(place))
    with process.started(
        sys.executable, "-m", "runcommit_core", *arguments, log=log,
        env={**os.environ, "TMPDIR": str(tmp_path / "tmp")},
    ) as running:  # fmt: skip
        end = time.monotonic() + 60
        while "waiting" not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.02)
        running.send_signal(number)
        assert running.wait(60) == 128 + number
    assert f"interrupted by {number.name}; cleaned up" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert not place.exists()
    assert not list((tmp_path / "tmp").iterdir())
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_reader_that_went_away_gets_no_traceback(base: str):
    with subprocess.Popen(
        [sys.executable, "-m", "runcommit_core", "image", "id", base],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        said = running.stderr.read()
    assert running.returncode == 1
    assert said == b""
