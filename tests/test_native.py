"""The native backend: its store, its containers, and what a killed job leaves."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import bases
from runcommit_core.testing.bench import Bench, entries, processes_with, started
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from tests.bases import Base
    from tests.hosts import Host

pytestmark = pytest.mark.hosts(backend="native")
DOCKERS_CAPABILITIES = "00000000a80425fb"
FULL = "0000003fffffffff"


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def said(bench: Bench, base: bases.Base | Base, command: str, *words: str) -> list[str]:
    """What a command says, line by line."""
    ran = bench.job(base.ref, "--progress", "plain", *words, "-c", command)
    assert ran.returncode == 0, ran.stderr
    return [line.strip(" |") for line in ran.stderr.splitlines()]


def layer(*members: tuple[str, bytes, dict[str, object]]) -> bytes:
    """A tar of members: name, type, and what else they have."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, more in members:
            member = tarfile.TarInfo(name)
            member.type, member.mode, member.mtime = kind, 0o755, bases.EPOCH
            for key, value in more.items():
                setattr(member, key, value)
            tar.addfile(member)
    return made.getvalue()


def stored(host: Host) -> set[str]:
    """The folders of all layers that are unpacked."""
    return {path.name for path in Path(host.env["RUNCOMMIT_NATIVE_STORE"]).glob("*/layers/*")}


# --- the store


UP = "../" * 12
WAIT = "echo started; sleep 300"


@pytest.mark.parametrize("apart", [False, True], ids=["in one layer", "in two layers"])
@pytest.mark.parametrize("name", ["out/new", "up/new", "/new{}", "..{}/new", "a/../..{}/new"])
def test_no_layer_writes_outside_its_root(
    bench: Bench, shared_tmp: Path, name: str, *, apart: bool
):
    outside = shared_tmp / "outside"
    outside.mkdir()
    outside.chmod(0o777)
    links = [
        ("out", tarfile.SYMTYPE, {"linkname": str(outside)}),
        ("up", tarfile.SYMTYPE, {"linkname": f"{UP}{outside}"}),
    ]
    file = (name.format(outside), tarfile.REGTYPE, {})
    layers = [layer(*links), layer(file)] if apart else [layer(*links, file)]
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), *layers])
    bench.job(base.ref, "-c", "true")  # it may be refused
    assert list(outside.iterdir()) == []


def test_a_hardlink_leads_to_no_file_of_the_machine(bench: Bench, shared_tmp: Path):
    secret = shared_tmp / "secret"
    secret.write_text("of the machine")
    link = layer(("link", tarfile.LNKTYPE, {"linkname": str(secret)}))
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), link])
    assert bench.job(base.ref, "-c", "cat /link").returncode
    assert secret.stat().st_nlink == 1


def test_a_layer_with_other_bytes_than_it_should_have_is_not_kept(
    host: Host, bench: Bench, shared_tmp: Path
):
    """The index knows the true one, so nobody but the store looks at these bytes."""
    name = secrets.token_hex(4)
    true, false = (bases.file_layer(name, text) for text in (b"true", b"fals"))
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), true])
    assert bench.job(base.ref, "-c", "true").returncode == 0
    host.runcommit("prune", "--bases", env=bench.env)
    blob = shared_tmp / "base/blobs" / base.diff_ids[1].replace(":", "/")
    before = stored(host)
    blob.write_bytes(false)
    ran = bench.job(base.ref, "-c", f"cat /{name}")
    assert ran.returncode == 6, ran.stderr
    assert "instead of" in ran.stderr
    kept = {each for each in stored(host) - before if "." in each}
    assert kept == set()
    blob.write_bytes(true)
    assert "true" in said(bench, base, f"cat /{name}")


def test_a_shared_layer_is_unpacked_once(host: Host, bench: Bench, shared_tmp: Path):
    first = bases.file_layer("first", os.urandom(8))
    before = stored(host)
    for number in range(3):
        more = [bases.file_layer("more", os.urandom(8))] if number else []
        base = bases.write_layout(
            shared_tmp / f"base{number}", [bases.busybox_layer(), first, *more]
        )
        assert bench.job(base.ref, "-c", "test -s /first").returncode == 0
    assert len(stored(host) - before) in (3, 4), "busybox's layer may have been there"
    host.runcommit("prune", "--bases", env=bench.env)
    assert stored(host) == set()


def test_layers_say_what_they_change_of_those_below(bench: Bench, shared_tmp: Path):
    """An ancestor that a layer leaves out stays as it was; deletions and opaque folders work."""
    directory, file = tarfile.DIRTYPE, tarfile.REGTYPE
    lowest = layer(
        *(("odd", directory, {"mode": 0o3751, "uid": 7}), ("odd/a", file, {}), ("odd/b", file, {})),
        *(("full", directory, {}), ("full/a", file, {}), ("full/deep", directory, {})),
        *(("full/deep/x", file, {}), ("was", directory, {}), ("was/in", file, {})),
    )
    middle = layer(
        *(("odd/c", file, {}), ("odd/.wh.a", file, {})),
        *(("full/.wh..wh..opq", file, {}), ("full/b", file, {}), ("was", file, {"mode": 0o600})),
    )
    highest = layer(("odd/a", file, {"mode": 0o700}))
    layers = [bases.busybox_layer(), lowest, middle, highest]
    base = bases.write_layout(shared_tmp / "base", layers)
    lines = said(
        bench,
        base,
        "stat -c '%a %u %Y' /odd; echo $(ls -A /odd) $(ls -A /full) $(stat -c %a /was /odd/a)",
    )
    assert f"3751 7 {bases.EPOCH}" in lines
    assert "a b c b 600 700" in lines
    ran = bench.job(base.ref, "-c", "rm /odd/b; touch -d @1 /odd", "-o", shared_tmp / "layer.tar")
    assert ran.returncode == 0, ran.stderr
    assert set(entries(shared_tmp / "layer.tar")) == {"odd", "odd/.wh.b"}


def test_a_base_of_very_many_layers(bench: Bench, shared_tmp: Path):
    layers = [bases.file_layer(f"file{number}", b"x") for number in range(130)]
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), *layers])
    assert "130" in said(bench, base, "ls /file* | wc -l")


def test_a_base_in_use_is_not_removed(host: Host, bench: Bench, busybox_base: Base):
    """Neither by who knows the job, nor by another cache that knows the store alone."""
    with started(bench, "run", *bench.choice, busybox_base.ref, "-c", WAIT) as (running, log):
        wait_for(log, "started")
        before = stored(host)
        for cache in ({}, {"RUNCOMMIT_CACHE_DIR": f"{bench.folder}/another"}):
            words = ("prune", "--bases", "--all") if cache else ("prune", "--bases")
            done = host.runcommit(*words, check=False, env={**bench.env, **cache})
            assert ("a job is using the base" in done.stderr) == bool(cache), done.stderr
        assert {path for path in before if path in stored(host)}
        running.send_signal(signal.SIGINT)
        assert running.wait(60) == 130


# --- the container


def test_a_command_has_dockers_capabilities_at_most(bench: Bench, busybox_base: Base):
    lines = said(bench, busybox_base, "grep -E 'Cap|Seccomp:|NoNew' /proc/self/status")
    held = dict(line.split(":\t") for line in lines if ":\t" in line)
    assert {held[name] for name in ("CapPrm", "CapEff", "CapBnd")} == {DOCKERS_CAPABILITIES}
    assert {held[name] for name in ("CapInh", "CapAmb")} == {"0" * 16}
    assert held["Seccomp"] == "2"


def test_the_callers_umask_is_not_the_containers(host: Host, shared_tmp: Path):
    """With 077 another user than root would find nothing."""
    mark = bases.file_layer(secrets.token_hex(4), b"")
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), mark])
    command = "stat -c '%a %n' / /etc/hosts /proc/.. /made; umask; cat /etc/hosts /etc/resolv.conf"
    job = ("run", "-b", "native", "--network", "none", "--no-cache", "-u", "user", "-w", "/made")
    runcommit = (host.python, "-m", "runcommit_core", *job, base.ref, "-c", command)
    done = host.run("sh", "-c", 'umask 077; exec "$@"', "sh", *runcommit)
    lines = done.stderr.splitlines()
    assert {"755 /", "644 /etc/hosts", "755 /made", "0022"} <= set(lines)


def test_another_user_has_no_capabilities(bench: Bench, busybox_base: Base):
    lines = said(bench, busybox_base, "id; grep CapEff /proc/self/status", "-u", "user")
    assert "uid=1000(user) gid=1000(user)" in " ".join(lines)
    assert f"CapEff:\t{'0' * 16}" in lines


@pytest.mark.parametrize(
    "command",
    [
        "unshare -m true",
        "unshare -Ur true",
        "mount -t tmpfs x /tmp",
        "mount -o remount,rw /proc/sys",
        "umount /proc",
        "echo 1 > /proc/sys/vm/drop_caches",
        "mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero",
        "mknod /dev/mine c 1 5 && head -c 1 /dev/mine",
        "mknod /shared/zero c 1 5 && head -c 1 /shared/zero",
        "chmod 667 /dev/full",
        "chown 1:1 /dev/full",
        "touch -d 2001-01-01 /dev/full",
        "chmod 667 /proc/keys",
        "hostname other",
        "cat /proc/kcore | head -c 1 | grep .",
        "touch /sys/kernel/mine",
    ],
)
def test_what_reaches_the_machine_is_refused(bench: Bench, busybox_base: Base, command: str):
    (bench.folder / "shared").mkdir()
    (bench.folder / "shared").chmod(0o777)
    mount = ("--mount", f"type=bind,source={bench.folder}/shared,target=/shared")
    command = f"({command}) 2>/dev/null || echo refused"
    assert "refused" in said(bench, busybox_base, command, *mount)


def test_nothing_of_the_machine_is_seen(bench: Bench, busybox_base: Base):
    mark = secrets.token_hex(8)
    command = (
        f": {mark}; echo first:$(cat /proc/1/comm); echo $(ls /proc | grep -c '^[0-9]');"
        " grep -c . /proc/mounts; hostname; test ! -e /dev/sda && ls /dev; cat /proc/mounts"
    )
    lines = said(bench, busybox_base, command)
    assert "runcommit" in lines
    assert not any(str(Path(__file__).parent) in line for line in lines)
    devices = {"null", "zero", "full", "random", "urandom", "tty", "pts", "ptmx", "shm"}
    assert devices <= set(lines)


def test_no_signal_leaves_the_container(bench: Bench, busybox_base: Base):
    witness = os.getpid()
    ran = bench.job(busybox_base.ref, "-c", "sleep 300 & sh -c 'kill -9 -1'; wait")
    assert ran.returncode == 5, ran.stderr
    assert os.getpid() == witness


def test_who_has_lost_his_parent_is_reaped_and_ends_with_the_command(
    bench: Bench, busybox_base: Base
):
    mark = secrets.token_hex(8)
    orphans = "for i in 1 2 3; do (sh -c 'true & exec sleep 0' &); done; sleep 0.5"
    dead = "cat /proc/[0-9]*/stat | grep -c ') Z '"
    command = f"{orphans}; (setsid sh -c 'sleep 300; echo {mark}' &); echo $({dead})"
    assert "0" in said(bench, busybox_base, command)
    assert processes_with(mark) == []


def test_the_loopback_is_up_without_a_network(bench: Bench, busybox_base: Base):
    names = ("localhost", "runcommit")
    pings = " && ".join(f"ping -c 1 -W 2 {name} >/dev/null" for name in names)
    assert "up" in said(bench, busybox_base, f"{pings} && echo up")


@pytest.mark.parametrize("workdir", ["/made/for/it", "/data/there", "/etc/inside"])
def test_a_working_directory_that_is_not_there_is_in_the_layer_as_the_core_makes_it(
    bench: Bench, busybox_base: Base, shared_tmp: Path, workdir: str
):
    output = shared_tmp / "layer.tar"
    ran = bench.job(busybox_base.ref, "-w", workdir, "-c", "pwd >&2; echo > /tmp/x", "-o", output)
    assert workdir in ran.stderr
    made = {str(path)[1:] for path in (Path(workdir), *Path(workdir).parents)} - {""}
    assert set(entries(output)) == {"tmp", "tmp/x"} | made


def test_links_of_the_base_lead_to_where_the_container_has_them(bench: Bench, shared_tmp: Path):
    links = layer(
        ("etc/resolv.conf", tarfile.SYMTYPE, {"linkname": "../run/there/stub.conf"}),
        ("etc/hosts", tarfile.SYMTYPE, {"linkname": "/../../../../etc/passwd"}),
        ("dev", tarfile.SYMTYPE, {"linkname": "/proc"}),
    )
    base = bases.write_layout(shared_tmp / "base", [bases.busybox_layer(), links])
    before = Path("/etc/passwd").read_bytes()
    bench.job(base.ref, "-c", "echo x > /etc/resolv.conf; echo x > /etc/hosts")
    assert Path("/etc/passwd").read_bytes() == before
    assert not Path("/run/there").exists()


# --- the end


def test_nothing_runs_on_when_the_job_is_killed(host: Host, bench: Bench, busybox_base: Base):
    mark = secrets.token_hex(8)
    command = f"trap '' TERM INT; (setsid sh -c 'sleep 300; : {mark}' &); echo started; sleep 300"
    job = ("run", *bench.choice, busybox_base.ref, "-c", command)
    with started(bench, *job) as (running, log):
        wait_for(log, "started")
        assert processes_with(mark)
        # a launcher execs, so this is runcommit itself
        os.kill(running.pid, signal.SIGKILL)
        running.wait(10)
        until(lambda: not processes_with(mark))
    assert not any(bench.env["RUNCOMMIT_NATIVE_STORE"] in line for line in mounts())
    host.runcommit("prune", env=bench.env)
    assert bench.resources() == set()


def mounts() -> list[str]:
    """What is mounted, in the namespaces of all processes."""
    lines: list[str] = []
    for path in Path("/proc").glob("[0-9]*/mounts"):
        with contextlib.suppress(OSError):
            lines += path.read_text().splitlines()
    return lines


def wait_for(log: Path, text: str) -> None:
    until(lambda: text in log.read_text().splitlines())


def until(is_so: object) -> None:
    assert callable(is_so)
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)
