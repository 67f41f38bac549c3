"""Options of a run, read and made ready without an engine."""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core import CommandError, EngineError, Mount, UsageError, process
from runcommit_core.index.index import BaseIndex
from runcommit_core.layer.mountpoints import mount_points
from runcommit_core.oci.platforms import parse_platform
from runcommit_core.request.run import run_request
from runcommit_core.surroundings import emulation, memory
from runcommit_core.surroundings.amounts import duration, memory_limit, processors
from runcommit_core.surroundings.envfile import read_env_file
from runcommit_core.surroundings.inputs import self_contained
from runcommit_core.surroundings.limits import rootless_limits
from runcommit_core.surroundings.redact import SHOWN, Redactor
from runcommit_core.surroundings.specs import parse_input, parse_mount, parse_secret
from runcommit_core.surroundings.staging import stage
from runcommit_core.surroundings.targets import check_nested, flag_targets
from tests.tars import Member, diff_id, directory, symlink, tar

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


# --- amounts


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8388608", 8 << 20),
        ("512m", 512 << 20),
        ("1.5g", 3 << 29),
        ("2 GiB", 2 << 30),
        (1 << 30,) * 2,
    ],
)
def test_memory_has_dockers_units(text, size):
    assert memory_limit(text) == size


@pytest.mark.parametrize("text", ["", "0", "m", "-5m", "5x", "5m5", "1024", "6291455b"])
def test_a_wrong_amount_of_memory(text):
    with pytest.raises(UsageError, match="--memory"):
        memory_limit(text)


@pytest.mark.parametrize("text", ["", "0", "-1", "two", "nan", "inf"])
def test_a_wrong_number_of_processors(text):
    assert processors("1.5") == 1.5
    with pytest.raises(UsageError, match="--cpus"):
        processors(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), (0.5, 0.5), ("90s", 90), ("5m", 300), ("1h", 3600), ("1h30m5s", 5405)],
)
def test_durations(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "5d", "m", "-3", "5 m", "1s1m"])
def test_a_wrong_duration(text):
    with pytest.raises(UsageError, match="--timeout"):
        duration(text)


# --- env files


def test_an_env_file_is_taken_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSED", "through")
    monkeypatch.delenv("UNSET", raising=False)
    path = tmp_path / "env"
    path.write_bytes(
        b'\xef\xbb\xbf# comment\n\n  A=b c \nQUOTED="x"#y\nEMPTY=\nE==f\r\nPASSED\nUNSET\nA=last'
    )
    assert read_env_file(path) == {
        "A": "last", "QUOTED": '"x"#y', "EMPTY": "", "E": "=f", "PASSED": "through"
    }  # fmt: skip


@pytest.mark.parametrize("line", [b"=x", b"export A=b", b"A =b", b"\xff=1", b"A=\0"], ids=repr)
def test_a_wrong_line_is_named(tmp_path, line):
    path = tmp_path / "env"
    path.write_bytes(b"# one\n" + line + b"\n")
    with pytest.raises(UsageError, match=re.escape(f"{path}:2: ")):
        read_env_file(path)


@pytest.mark.parametrize("asked", [{"env": {"A": "\udcff"}}, {"workdir": "/\udcff"}], ids=repr)
def test_bytes_that_are_no_text_are_refused(asked):
    with pytest.raises(UsageError, match="not UTF-8"):
        run_request(**asked)


def test_a_missing_env_file_is_named(tmp_path):
    with pytest.raises(UsageError, match="no/env"):
        read_env_file(tmp_path / "no/env")


def test_options_win_over_files_and_later_files_over_earlier(tmp_path):
    for name in "12":
        (tmp_path / name).write_text(f"A={name}\nB={name}\n")
    request = run_request(env={"B": "mine"}, env_files=[tmp_path / "1", tmp_path / "2"])
    assert request.options.env == {"A": "2", "B": "mine"}


# --- specifications


def test_mounts_in_dockers_syntax():
    bind = parse_mount("type=bind,src=/a=b,dst=/x//y/../z/,ro")
    assert (bind.kind, bind.source, bind.target, bind.read_only) == ("bind", "/a=b", "/x/z", True)
    assert parse_mount("source=/a,target=/b,readonly=false").read_only is False
    assert parse_mount('type=bind,"source=/a,b",destination=/c').source == "/a,b"
    memory_mount = parse_mount("type=tmpfs,target=/t,tmpfs-size=1m,mode=0700")
    assert (memory_mount.size, memory_mount.mode) == (1 << 20, 0o700)
    cache = parse_mount("type=cache,target=/c,sharing=private,uid=5,mode=770")
    assert (cache.name, cache.sharing, cache.uid, cache.mode) == ("/c", "private", 5, 0o770)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("type=volume,src=a,dst=/b", "no type 'volume'"),
        ("type=bind,dst=/b", "needs source"),
        ("type=bind,src=/a", "needs target"),
        ("type=bind,src=/a,dst=b", "no absolute path"),
        ("type=tmpfs,dst=/..", "whole root"),
        ("type=tmpfs,dst=/a:b", "colon"),
        ("type=tmpfs,dst=/a,src=/b", "no 'source'"),
        ("type=tmpfs,dst=/a,size=much", "much"),
        ("type=tmpfs,dst=/a,mode=9", "'9'"),
        ("type=cache,dst=/a,sharing=all", "'all'"),
        ("type=cache,dst=/a,uid=me", "'me'"),
        ("type=bind,src=/a,dst=/b,ro=maybe", "'maybe'"),
        ("type=bind,src=/a,source=/b,dst=/c", "twice"),
        ("type=secret,dst=/a", "needs id"),
        ("type=secret,id=a,required=false", "required"),
        ('type=bind,"src=/a', "no list"),
    ],
)
def test_a_wrong_mount(text, says):
    with pytest.raises(UsageError, match=re.escape(says)):
        parse_mount(text)


def test_secrets_in_dockers_syntax():
    plain = parse_secret("id=token,src=/f")
    assert (plain.target, plain.source, plain.mode) == ("/run/secrets/token", "/f", None)
    assert parse_secret("type=env,id=t,src=VAR").variable == "VAR"
    assert parse_secret("id=t,env=VAR,target=name,mode=0440").target == "/run/secrets/name"
    for wrong in ("src=/f", "id=a,src=/f,env=V", "id=a,type=what", "id=a,sharing=shared"):
        with pytest.raises(UsageError):
            parse_secret(wrong)


def test_inputs():
    assert parse_input("a:b/c:/in/x:ro").source == "a:b/c"
    assert parse_input("/a:/in").target == "/in"
    for wrong in ("/a", "/a:in", ":/in", "/a:/in:rw", "/a:/", "/a:/in:z,ro"):
        with pytest.raises(UsageError, match="--input"):
            parse_input(wrong)


def test_what_is_not_there_is_told_first(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for source in ("missing", "loop"):
        with pytest.raises(UsageError, match=source):
            run_request(inputs=[f"{tmp_path}/{source}:/in"])
    with pytest.raises(UsageError, match="two mounts"):
        run_request(inputs=[f"{tmp_path}:/in"], mounts=["type=tmpfs,dst=/in"])


def test_a_mount_places_a_secret():
    request = run_request(
        secrets=["id=a,env=A", "id=b,env=B"],
        mounts=["type=secret,id=a,target=/x", "type=secret,id=a,target=/y,mode=0444"],
    )
    found = {(item.name, item.target, item.variable) for item in request.mounts}
    assert found == {("a", "/x", "A"), ("a", "/y", "A"), ("b", "/run/secrets/b", "B")}


def test_a_mount_keeps_what_its_secret_says():
    request = run_request(
        secrets=["id=a,env=A,mode=0440,uid=5"], mounts=["type=secret,id=a,target=/x,mode=0444"]
    )
    assert [(item.mode, item.uid, item.gid) for item in request.mounts] == [(0o444, 5, None)]


def test_two_secrets_of_one_name():
    with pytest.raises(UsageError, match="two secrets"):
        run_request(secrets=["id=a,env=A", "id=a,env=B"])


def test_targets_in_an_engines_own_flags():
    flags = (
        "-v", "/a:/one:ro", "--volume=name:/two", "-v/c:/three", "--tmpfs", "/four:size=1m",
        "--mount", "type=bind,src=/x,dst=/five", "-v", "/six", "--volume", "/e:/", "--other", "-v",
    )  # fmt: skip
    assert flag_targets(flags) == ("/one", "/two", "/three", "/four", "/five", "/six")


# --- sources


def staged(cleanup: contextlib.ExitStack, folder: Path, **options: list[str]) -> tuple[Mount, ...]:
    folder.mkdir(exist_ok=True)
    return stage(run_request(**options).mounts, folder, cleanup, for_root=True).mounts


def test_links_of_an_input_are_resolved(tmp_path, cleanup):
    (tmp_path / "real").write_text("x")
    (tmp_path / "link").symlink_to("real")
    (mount,) = staged(cleanup, tmp_path / "job", inputs=[f"{tmp_path}/link:/in"])
    assert (mount.source, mount.read_only) == (str(tmp_path / "real"), True)


def test_an_input_whose_links_stay_inside_is_not_copied(tmp_path):
    top = tmp_path / "top"
    (top / "a").mkdir(parents=True)
    (top / "a/file").write_text("x")
    (top / "b").symlink_to("a/file")
    (top / "a/up").symlink_to("../a")
    (top / "nowhere").symlink_to("/no/such/file")
    assert self_contained(top, tmp_path / "spare") == top


def test_an_input_whose_links_lead_out_becomes_a_copy(tmp_path):
    top, spare = tmp_path / "top", tmp_path / "spare"
    (tmp_path / "outside/sub").mkdir(parents=True)
    (tmp_path / "outside/sub/file").write_text("outside")
    (tmp_path / "outside/sub/other").symlink_to("file")
    (top / "a").mkdir(parents=True)
    (top / "a/own").write_text("own")
    (top / "a/own").chmod(0o755)
    (top / "inside").symlink_to("a/own")
    (top / "nowhere").symlink_to("no/such/file")
    (top / "a/file").symlink_to("../../outside/sub/file")
    (top / "a/sub").symlink_to(tmp_path / "outside/sub")
    assert self_contained(top, spare) == spare
    assert (spare / "a/own").stat().st_mode & 0o777 == 0o755
    assert (spare / "inside").readlink() == Path("a/own")
    assert (spare / "nowhere").is_symlink()
    assert not (spare / "a/file").is_symlink()
    assert (spare / "a/file").read_text() == "outside"
    assert (spare / "a/sub/other").readlink() == Path("file")
    (tmp_path / "outside/back").symlink_to(top)
    (top / "round").symlink_to("../outside")
    with pytest.raises(UsageError, match="leads back"):
        self_contained(top, tmp_path / "again")


def test_a_name_that_engines_would_split_becomes_a_link(tmp_path, cleanup):
    (tmp_path / "a,b:c").mkdir()
    (mount,) = staged(cleanup, tmp_path / "job", inputs=[f"{tmp_path}/a,b:c:/in"])
    assert not re.search("[,:]", mount.source)
    assert Path(mount.source).resolve() == tmp_path / "a,b:c"
    words = ["--mount", f"type=bind,source={mount.source},target=/in,readonly"]
    assert mount.words() == words


def test_outer_mounts_come_first_and_must_have_room(tmp_path, cleanup):
    (tmp_path / "outer/room").mkdir(parents=True)
    inputs = [f"{tmp_path}:/in/room", f"{tmp_path}/outer:/in"]
    found = staged(cleanup, tmp_path / "job", inputs=inputs)
    assert [mount.target for mount in found] == ["/in", "/in/room"]
    with pytest.raises(UsageError, match=r"/in/x lies in the input mount /in"):
        check_nested((found[0], Mount(kind="tmpfs", target="/in/x")))


def test_a_cache_outlives_its_job(tmp_path):
    sources = []
    for _ in range(2):
        with contextlib.ExitStack() as stack:
            mounts = ["type=cache,id=../a/b,dst=/c,mode=0750"]
            (mount,) = staged(stack, tmp_path / "job", mounts=mounts)
        sources.append(Path(mount.source))
    assert sources[0] == sources[1]
    assert sources[0].is_relative_to(tmp_path / "cache/mounts")
    assert stat.S_IMODE(sources[0].stat().st_mode) == 0o750


def test_a_private_cache_is_nobody_elses(tmp_path, cleanup):
    spec = ["type=cache,id=c,dst=/c,sharing=private"]
    with contextlib.ExitStack() as other:
        (first,) = staged(other, tmp_path / "job", mounts=spec)
        (second,) = staged(cleanup, tmp_path / "job", mounts=spec)
        assert first.source != second.source
    (third,) = staged(cleanup, tmp_path / "job", mounts=spec)
    assert third.source == first.source


def test_a_locked_cache_waits_and_says_so(tmp_path, caplog):
    spec = ["type=cache,id=c,dst=/c,sharing=locked"]
    order = []

    def wait() -> None:
        with contextlib.ExitStack() as stack:
            staged(stack, tmp_path / "job", mounts=spec)
            order.append("second")

    with contextlib.ExitStack() as stack:
        staged(stack, tmp_path / "job", mounts=spec)
        thread = threading.Thread(target=wait)
        thread.start()
        while "waiting for the cache mount c" not in caplog.text:
            assert thread.is_alive()
        order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_ids_are_roots_to_give(tmp_path, cleanup, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("S", "value")
    with pytest.raises(UsageError, match="only root") as raised:
        staged(cleanup, tmp_path / "job", secrets=["id=s,env=S,uid=5"])
    assert "mode=" in raised.value.tip


# --- secrets


def test_a_secret_is_in_memory_and_goes(tmp_path, monkeypatch):
    monkeypatch.setenv("S", "value")
    with contextlib.ExitStack() as stack:
        request = run_request(secrets=["id=s,env=S"])
        found = stage(request.mounts, tmp_path, stack, for_root=True)
        (mount,) = found.mounts
        path = Path(mount.source)
        assert found.values == (b"value",)
        assert memory.is_in_memory(mount.source)
        assert path.read_text() == "value"
        assert stat.S_IMODE(path.stat().st_mode) == 0o400
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert "S" not in process.output("/usr/bin/env").split("=")
        assert "\nS=" not in f"\n{process.output('/usr/bin/env')}"
    assert not path.parent.exists()
    assert "\nS=value" in f"\n{process.output('/usr/bin/env')}"


@pytest.mark.parametrize(
    ("spec", "for_root", "mode"),
    [("", False, 0o444), (",mode=0400", False, 0o400), (",mode=0440", True, 0o440)],
)
def test_the_user_of_the_run_can_read_it(tmp_path, cleanup, monkeypatch, spec, for_root, mode):
    monkeypatch.setenv("S", "value")
    request = run_request(secrets=[f"id=s,env=S{spec}"])
    (mount,) = stage(request.mounts, tmp_path, cleanup, for_root=for_root).mounts
    assert stat.S_IMODE(Path(mount.source).stat().st_mode) == mode


def test_a_secret_that_is_not_there(tmp_path, cleanup, monkeypatch):
    monkeypatch.delenv("S", raising=False)
    for spec, says in (("id=s,env=S", "S is not set"), (f"id=s,src={tmp_path}/no", "cannot read")):
        with pytest.raises(UsageError, match=says):
            staged(cleanup, tmp_path / "job", secrets=[spec])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
def test_secrets_are_hidden_across_chunks(size):
    shown: list[bytes] = []
    secrets = (b"abcab\n", b"first line\nsecond line\n", b"bc-longer")
    redact = Redactor(secrets, shown.append)
    text = b"x abcab abca ab\nfirst line\nsecond line.\nsecond line, abcabcab, abc-longer, abcab"
    for at in range(0, len(text), size):
        redact(text[at : at + size])
    redact.flush()
    expected = text.replace(b"first line\nsecond line", b"S").replace(b"second line", b"S")
    expected = expected.replace(b"bc-longer", b"S").replace(b"abcab", b"S")
    assert b"".join(shown) == expected.replace(b"S", SHOWN.encode())


def test_what_is_no_secret_comes_at_once():
    shown: list[bytes] = []
    redact = Redactor((b"secret",), shown.append)
    redact(b"50 %\rsec")
    assert shown == [b"50 %\r"]
    redact(b"ond")
    assert b"".join(shown) == b"50 %\rsecond"


def test_secrets_are_taken_out_of_errors():
    redact = Redactor((b"topsecret\nof two lines",), lambda _: None)
    tail = "secret\nof two lines\nthen topsecret\nof two lines"
    engine = EngineError("failed", argv=["x"], output=tail)
    engine.__cause__ = CommandError("no topsecret\nof two lines", command_exit_code=1, output=tail)
    redact.clean(engine)
    for error in (engine, engine.__cause__):
        assert "secret" not in f"{error} {error.output}"
        assert "two lines" not in f"{error} {error.output}"
        assert SHOWN in error.output


# --- where it cannot work


@pytest.mark.usefixtures("machine")
def test_limits_of_rootless_engines(tmp_path, monkeypatch):
    def lacking() -> dict[str, str]:
        return {lack.capability: lack.reason for lack in rootless_limits("podman", top=tmp_path)}

    assert lacking() == {}
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert set(lacking()) == {"memory", "cpus"}
    assert "rootless podman cannot keep to --memory with version 1" in lacking()["memory"]
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    delegated = tmp_path / "user.slice/user-1000.slice/user@1000.service/cgroup.controllers"
    delegated.parent.mkdir(parents=True)
    delegated.write_text("memory pids\n")
    assert set(lacking()) == {"cpus"}
    assert "controller cpu is not delegated" in lacking()["cpus"]
    delegated.write_text("cpu memory pids\n")
    assert lacking() == {}


def test_platforms_that_need_no_emulation(monkeypatch, tmp_path):
    machine = os.uname()

    def uname() -> os.uname_result:
        return os.uname_result((*machine[:4], "aarch64"))

    monkeypatch.setattr(os, "uname", uname)
    assert emulation.foreign(parse_platform("linux/arm64/v8")) == ""
    assert emulation.foreign(parse_platform("linux/arm/v6")) == "linux/arm/v6"
    with pytest.raises(UsageError, match="windows"):
        emulation.foreign(parse_platform("windows/arm64"))
    emulation.check_emulation("linux/arm/v6", tmp_path)
    emulation.check_emulation("", tmp_path)


def test_a_program_of_no_known_machine_is_refused(tmp_path):
    """The trial itself: a header that no kernel knows, and a program that it does know."""
    assert emulation._kernel_refuses("loong64", tmp_path) != (os.uname().machine == "loongarch64")
    assert list(tmp_path.iterdir()) == []


def test_mount_points_lie_where_the_bases_links_lead(tmp_path):
    base = tar(
        directory(b"usr"), symlink(b"lib", b"usr/lib"), directory(b"var"),
        symlink(b"var/run", b"../run"), symlink(b"abs", b"/var/run"), symlink(b"loop", b"loop"),
        Member(b"usr/file"),
    )  # fmt: skip
    paths = {
        "/lib/x": b"usr/lib/x",
        "/var/run/y": b"run/y",
        "/abs": b"run",
        "/usr/file": b"usr/file",
        "/none/../a": b"a",
        "/loop/z": b"loop/z",
    }
    index = BaseIndex(tmp_path)
    index.add(diff_id(base), io.BytesIO(base))
    with index.tree([diff_id(base)]) as tree:
        assert mount_points(tree, paths) == tuple(paths.values())
