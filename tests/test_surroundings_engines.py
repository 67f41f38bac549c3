"""What holds for the run alone, on real engines: nothing of it stays, and nothing is ignored."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import Bench, bases
from runcommit_core.testing.bench import entries
from tests.filelists import lines_of
from tests.tars import Member, directory, symlink, tar
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

USAGE, ENGINE_FAILED, COMMAND_FAILED = 2, 4, 5
ROOTFUL = ("docker", "podman", "buildah")
MEMORY = 64 << 20
LIMITS = (
    "for it in memory/memory.limit_in_bytes memory.max cpu/cpu.cfs_quota_us cpu.max;"
    " do cat /sys/fs/cgroup/$it 2>/dev/null; done; true"
)


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def linked_base(folder: Path) -> bases.Base:
    """A base with links on the way to mount points, and with something at some of them."""
    more = tar(
        *(directory(name) for name in (b"usr", b"usr/lib", b"var", b"srv", b"empty")),
        symlink(b"lib", b"usr/lib"),
        symlink(b"var/run", b"/run"),
        symlink(b"motd", b"etc/motd"),
        Member(b"srv/file", content=b"the base's"),
    )
    return bases.write_layout(folder / "base", [bases.busybox_layer(), more])


def test_mount_points_of_every_sort_leave_no_trace(host: Host, bench: Bench) -> None:
    base, layer = linked_base(bench.folder), bench.folder / "layer.tar"
    (bench.folder / "file").write_text("mounted")
    (bench.folder / "dir").mkdir()
    (bench.folder / "dir/within").write_text("mounted")
    (bench.folder / "env").write_text("FROM_FILE=a b\nBOTH=file\n")
    file, folder = (f"{bench.folder}/{name}" for name in ("file", "dir"))
    flags = f"-v {folder}:/by/flag:ro -v {file}:/by-file:ro"
    ran = bench.job(
        base.ref, "--run-flag", flags, "--env-file", bench.folder / "env", "-e", "BOTH=option",
        *("--input", f"{file}:/lib/x/file", "--input", f"{folder}:/var/run/x/y"),
        *("--input", f"{file}:/motd", "--input", f"{file}:/srv/file"),
        *("--input", f"{folder}:/empty", "--mount", "type=tmpfs,target=/data/tree"),
        *("-c", "cat /usr/lib/x/file /run/x/y/within /etc/motd /srv/file /empty/within"),
        *("-c", 'test "$FROM_FILE $BOTH" = "a b option" && test ! -e /data/tree/leaf'),
        *("-c", "cat /by/flag/within /by-file; echo -n mine > /by/mine; chmod 700 /srv"),
        *("--verify", "-o", layer),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("mounted") == 7
    assert lines_of(layer) == [
        "d 700 0:0 srv @1600000000",
        "d 755 0:0 by",
        "f 644 0:0 by/mine = mine",
    ]


def test_a_secret_for_a_user_who_is_not_root(bench: Bench, base: bases.Base) -> None:
    ran = bench.job(
        base.ref, "--secret", "id=one,env=ONE", "-u", "user", "-c", "wc -c < /run/secrets/one",
        env={"ONE": "0123456789"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "10\n" in ran.stderr


@pytest.fixture
def base(bench: Bench) -> bases.Base:
    return bases.busybox(bench.folder / "base")


@pytest.mark.hosts(
    *("docker", "podman", "podman-rootless", "buildah", "buildah-rootless", "podman-api")
)
@pytest.mark.parametrize(
    ("flags", "effective"),
    [("", "a80425fb"), ("--cap-drop=CAP_MKNOD", "a00425fb"), ("--cap-drop ALL", "00000000")],
)
def test_capabilities_are_dockers(
    bench: Bench, base: bases.Base, flags: str, effective: str
) -> None:
    given = ("--run-flag", flags) if flags else ()
    ran = bench.job(base.ref, *given, "-c", "grep CapEff /proc/self/status")
    assert ran.returncode == 0, ran.stderr
    assert f"CapEff:\t00000000{effective}\n" in ran.stderr


@pytest.mark.hosts(*ROOTFUL)
def test_no_process_of_the_engine_knows_the_secret(
    host: Host, bench: Bench, base: bases.Base
) -> None:
    """Every call of the engine goes through a program that writes down what it is given."""
    spy, seen = bench.folder / "spy", bench.folder / "seen"
    spy.write_text(f'#!/bin/sh\nenv >> {seen}; echo "$*" >> {seen}; exec {host.backend} "$@"\n')
    spy.chmod(0o755)
    ran = bench.job(
        base.ref, "--engine-path", spy, "--secret", "id=one,env=ONE", "-c",
        "cp /run/secrets/one /tmp/it; rm /tmp/it",
        env={"ONE": "0123456789"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "type=bind" in seen.read_text() or "--volume" in seen.read_text()
    assert "PATH=" in seen.read_text()
    assert "0123456789" not in seen.read_text()


@pytest.mark.hosts(*ROOTFUL, "podman-api")
def test_limits_hold(bench: Bench, base: bases.Base, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bench.folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    ran = bench.job(base.ref, "--memory", "64m", "--cpus", "0.5", "-c", LIMITS)
    assert ran.returncode == 0, ran.stderr
    assert {str(MEMORY), "50000"} <= set(ran.stderr.split()), ran.stderr
    hungry = "x=x; while :; do x=$x$x$x$x; done"
    ran = bench.job(base.ref, "--memory", "16m", "-c", hungry)
    assert ran.returncode == COMMAND_FAILED, ran.stderr
    assert "out of memory" in ran.stderr
    assert not list(here.iterdir()), "conmon's file stays"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs a machine of two platforms")
@pytest.mark.hosts(*ROOTFUL, "podman-rootless")
def test_another_platform_that_the_machine_runs(bench: Bench) -> None:
    """Engines warn of it on standard error, or refuse it, unless they are told."""
    base = bases.write_layout(bench.folder / "386", [bases.busybox_layer()], architecture="386")
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, "-c", "echo it ran; echo > /data/new", "-o", layer)
    assert ran.diff_id
    assert ran.stderr.splitlines() == ["it ran"]
    assert set(entries(layer)) == {"data", "data/new"}


@pytest.mark.hosts(*ROOTFUL, "podman-rootless", "buildah-chroot")
def test_networks(bench: Bench, base: bases.Base) -> None:
    wrong = bench.run("run", "-b", bench.backend, base.ref, "--network", "no-such", "-c", "true")
    assert wrong.returncode in (USAGE, ENGINE_FAILED), wrong.stderr
    assert "no-such" in wrong.stderr
    for name, sees in (("none", "1"), ("host", "")):
        if name == "host" or bench.isolated:
            count = "ls /sys/class/net | wc -l"
            ran = bench.run("run", "-b", bench.backend, base.ref, "--network", name, "-c", count)
            assert ran.returncode == 0, ran.stderr
            assert (ran.stderr.split()[0] == "1") is bool(sees)
