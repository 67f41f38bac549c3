"""What the core does for every engine: whose fault a failure was, and what waits."""

from __future__ import annotations

import os
import re
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from runcommit_core import (
    Client,
    CommandError,
    CommandTimeoutError,
    EngineError,
    EngineInfo,
    RunOptions,
    added_capabilities,
    containers,
    inventory,
    overlays,
    process,
    scratch_environment,
    services,
    settled,
    without_a_trace,
)

if TYPE_CHECKING:
    from pathlib import Path

Outcome = containers.Outcome


def job(*argv: str, memory: int = 0) -> Any:
    return SimpleNamespace(argv=argv or ("/bin/sh",), run=RunOptions(memory=memory))


def ended(code: int, said: str = "") -> process.Completed:
    return process.Completed(("engine", "run"), code, said, "")


@pytest.mark.parametrize(
    ("code", "said", "outcome", "kind"),
    [
        (3, "", Outcome(begun=True, code=3), CommandError),
        # the client was cut off, and the command goes on or ended otherwise
        (3, "", Outcome(begun=True), EngineError),
        (255, "", Outcome(begun=True, code=0), EngineError),
        (125, "no such image", Outcome(), EngineError),
        (127, "/bin/sh: not found", Outcome(begun=False), CommandError),
        # a helper of the engine's is missing
        (127, "crun: not found", Outcome(begun=False), EngineError),
        (127, "/bin/sh: not found", Outcome(), EngineError),
        (127, "/bin/sh: not found", Outcome(begun=True), EngineError),
    ],
)
def test_whose_fault_it_was(code: int, said: str, outcome: Outcome, kind: type):
    assert type(containers.failed(job(), ended(code, said), outcome)) is kind


@pytest.mark.parametrize(
    ("memory", "code", "told", "reason"),
    [
        (0, 137, None, "137"),
        (1, 137, None, r"137 \(probably out of memory\)"),
        (1, 9, None, "9"),
        (1, 137, False, "137"),
        (0, 1, True, r"1 \(out of memory\)"),
    ],
)
def test_what_is_told_of_memory(memory: int, code: int, told: bool | None, reason: str):
    error = containers.command_error(job(memory=memory), ended(code), out_of_memory=told)
    assert re.search(rf"exit code {reason}$", str(error))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ('exec: "/x/y": stat /x/y: no such file or directory', 127),
        ('exec: "/x/y": executable file not found in $PATH', 127),
        ('exec: "/x/y": permission denied', 126),
        ("exec /x/y: exec format error", 126),
        ("fork/exec /x/y: permission denied", 126),
        (r'level=error msg="runc create failed: exec: \"/x/y\": is a directory"', 126),
        ("executable file `/x/y` not found in $PATH: No such file or directory", 127),
        ("crun: open executable: Permission denied: OCI permission denied", 126),
        ("/x/y: something else", 0),
        ("permission denied", 0),
        # another program, and a mount that fails as the command would
        ('exec: "/x/y.helper": permission denied', 0),
        ("creating container for [/x/y z]: error mounting tmpfs: not a directory", 0),
        ("/x/y: error mounting /a: no such file or directory", 0),
    ],
)
def test_commands_that_cannot_be_started(said: str, code: int):
    assert containers.unstarted_code(("/x/y", "z"), said) == code


@pytest.mark.parametrize(
    ("name", "code"), [("killed", 137), ("Terminated", 143), ("quit", 131), ("tuesday", None)]
)
def test_the_exit_code_of_a_signal(name: str, code: int | None):
    assert containers.killed_code(name) == code


@pytest.mark.parametrize(
    ("code", "kind"), [(3, CommandError), (126, CommandError), (None, EngineError)]
)
def test_a_run_without_an_exit_code_of_the_command_is_the_engines_failure(
    code: int | None, kind: type
):
    error = containers.run_error(job(), ended(1, "said"), code)
    assert type(error) is kind
    assert error.output == "said"
    assert getattr(error, "command_exit_code", None) == code


@pytest.mark.parametrize(
    ("user", "flags", "added"),
    [
        ("", (), ["AUDIT_WRITE", "MKNOD", "NET_RAW"]),
        ("root:adm", ("--cap-drop=mknod",), ["AUDIT_WRITE", "NET_RAW"]),
        ("0:7", ("--cap-drop", "CAP_NET_RAW,MKNOD"), ["AUDIT_WRITE"]),
        ("0", ("--cap-drop=all",), []),
        ("app", (), []),
        ("1000:0", (), []),
    ],
)
def test_only_root_is_given_what_docker_has(user: str, flags: tuple[str, ...], added: list[str]):
    assert added_capabilities(flags, user=user) == added


@pytest.mark.parametrize(
    ("status", "native"),
    [
        (None, False),
        ({}, False),
        ({"Native Overlay Diff": "false"}, False),
        ({"Native Overlay Diff": "true"}, True),
    ],
)
@pytest.mark.parametrize("spelled", [str, lambda key: key[0].lower() + key[1:]])
def test_what_a_store_is_worth(status: dict[str, str] | None, native: bool, spelled: Any):
    store = {"GraphDriverName": "moon", "GraphStatus": status, "GraphOptions": {}}
    asked = {spelled(key): value for key, value in store.items()}
    told = overlays.finding(asked, rootless=True, then="an empty moon")
    assert overlays.is_native(status) is native
    assert told.status == ("ok" if native else "warning")
    assert ("moon" in told.found, "an empty moon" in told.cure) == (True, not native)


@pytest.mark.parametrize(
    ("runtime_folder", "ours"), [("/run/user/7", True), (None, os.geteuid() == 0)]
)
def test_temporary_files_go_with_the_job_unless_state_is_there(
    runtime_folder: str | None, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    if runtime_folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime_folder)
    environment = scratch_environment(cast("Any", SimpleNamespace(folder=tmp_path)))
    assert environment["TMPDIR"] == (str(tmp_path) if ours else "/elsewhere")


def test_the_first_known_word_answers_in_a_rehearsal():
    answers = {"look": "one", "run": "two"}
    answer = process.rehearsed_answer(("moon", "run", "look"), answers, errors="said")
    assert answer == process.Completed(("moon", "run", "look"), 0, "two", "said")
    assert process.rehearsed_answer(("moon",), answers).output == ""


def test_sizes_of_a_list_are_those_of_bases():
    said = "localhost/runcommit/base:a 4.42 MB\nother:b 1 kB\nlocalhost/runcommit/base:c <none>\n"
    client = Client(
        program=("moon",), remove=(), remove_image=(), sizes=("list",), ask=lambda *_: said
    )
    copies = inventory.bases_of_client(client)
    assert [(copy.name.rpartition(":")[2], copy.size) for copy in copies] == [
        ("a", 4_420_000),
        ("c", None),
    ]


def test_an_engine_that_cannot_be_asked_has_a_problem():
    def fail(error: EngineError) -> Any:
        raise error

    missing = EngineInfo.asked(
        "moon", lambda: fail(EngineError("cannot start moon", argv=("moon",)))
    )
    assert missing.problem == "cannot start moon"
    broken = process.failure(("moon", "info"), 1, "warning: dust\nError: no store\n")
    assert EngineInfo.asked("moon", lambda: fail(broken)).problem == "Error: no store"
    assert EngineInfo.asked("moon", lambda: {"version": "1"}) == EngineInfo(
        name="moon", version="1"
    )


def test_what_passes_is_waited_for_and_nothing_else():
    words = ["busy", "busy", ""]

    def ask(name: str) -> str:
        if said := words.pop(0):
            raise EngineError("failed", output=said)
        return name

    assert settled(re.compile("busy"), ask, "it") == "it"
    words.append("broken")
    with pytest.raises(EngineError, match="broken"):
        settled(re.compile("busy"), ask, "it")


@pytest.mark.parametrize(
    ("before", "left", "stays"), [(None, "", False), (None, "x", True), ("", "", True)]
)
def test_an_empty_file_that_was_not_there_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, left: str, stays: bool
):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "oom"
    if before is not None:
        file.write_text(before)
    with without_a_trace("oom"):
        file.write_text(left)
    assert file.exists() is stays


def test_names_of_jobs_and_of_bases_are_told_apart():
    removed: list[str] = []
    names = ["runcommit-0123456789ab", "runcommit-0123456789abc", "other"]
    found = inventory.of_jobs(
        ["0123456789ab"], containers=names, images=["x:0123456789ab"],
        remove=removed.append, remove_image=removed.append,
    )  # fmt: skip
    assert [(it.kind, it.name) for it in found] == [
        ("container", names[0]),
        ("image", "x:0123456789ab"),
    ]
    copies = inventory.of_bases(
        [("localhost/runcommit/base:1", 5), ("localhost/runcommit/based:1", 5)], removed.append
    )
    assert [(it.name, it.size) for it in copies] == [("localhost/runcommit/base:1", 5)]
    for it in (*found, *copies):
        it.remove()
    assert removed == [names[0], "x:0123456789ab", "localhost/runcommit/base:1"]


@pytest.mark.parametrize(
    ("words", "size"),
    [(("4.42", "MB"), 4_420_000), (("7",), 7), (("x", "MB"), None), (("1", "XB"), None)],
)
def test_sizes_for_people(words: tuple[str, ...], size: int | None):
    assert inventory.size_in_bytes(*words) == size


def test_a_run_is_killed_when_its_time_is_over():
    killed = threading.Event()
    tail = services.Tail(lambda _: None)

    def run() -> None:
        with services.killed_after(0.01, killed.set, tail):
            tail(b"last words")
            assert killed.wait(30)

    with pytest.raises(CommandTimeoutError, match=r"within 0\.01 s") as caught:
        run()
    assert caught.value.output == "last words"
    with services.killed_after(None, killed.clear, tail):
        pass
    assert killed.is_set()


def test_the_end_of_what_was_said_is_kept():
    chunks: list[bytes] = []
    tail = services.Tail(chunks.append)
    for _ in range(3):
        tail(b"x" * process.TAIL_BYTES)
    assert (len(chunks), len(str(tail))) == (3, process.TAIL_BYTES)
