"""What engines put into a container, and what a command does to it; names that mean deletions."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import Bench, bases
from tests.filelists import lines_of
from tests.tars import Member, directory, tar
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

BAD_ARCHIVE, ENGINE_FAILED = 6, 4


@dataclass(frozen=True)
class Surroundings:
    """A command on a base that has nothing but programs, or what engines make as well."""

    name: str
    commands: str
    expected: tuple[str, ...]
    dressed: bool = False


MADE = (
    *(directory(name) for name in (b"dev", b"etc", b"proc", b"run", b"run/own", b"sys")),
    *(Member(b"etc/" + name, content=b"base") for name in (b"hosts", b"hostname", b"resolv.conf")),
    Member(b".dockerenv", content=b"base"),
    Member(b"etc/mtab", content=b"base"),
    Member(b"run/own/file", content=b"base"),
)
CASES = (
    Surroundings(
        "engine-files-deleted-on-a-bare-base",
        "rm -f /etc/hosts /etc/hostname /etc/resolv.conf /etc/mtab /.dockerenv /run/.containerenv"
        " 2>/dev/null; rmdir /etc 2>/dev/null; true",
        (),
    ),
    Surroundings(
        "own-files-beside-engine-files",
        "mkdir -p /etc /run/own; echo -n x > /etc/own; echo -n x > /run/own/file;"
        " echo x >> /etc/hosts",
        (
            "d 755 0:0 etc",
            "d 755 0:0 run",
            "d 755 0:0 run/own",
            "f 644 0:0 etc/own = x",
            "f 644 0:0 run/own/file = x",
        ),
    ),
    Surroundings(
        "engine-files-of-the-base-are-not-the-commands",
        "rm -f /etc/hosts /etc/hostname /etc/resolv.conf 2>/dev/null;"
        " echo x >> /etc/hosts; echo x >> /etc/resolv.conf; chmod 600 /etc/hostname; true",
        (),
        dressed=True,
    ),
    Surroundings(
        "the-bases-own-are-deleted",
        "rm /etc/mtab /.dockerenv; rm -r /run/own",
        (
            "- .dockerenv",
            "- etc/mtab",
            "- run/own",
            "d 755 0:0 etc @1600000000",
            "d 755 0:0 run @1600000000",
        ),
        dressed=True,
    ),
)
NAMES = {
    "content": "echo x > /data/.wh.kept",
    "empty": ": > /data/.wh.kept",
    "directory": "mkdir /data/.wh.kept",
    "opaque": ": > /data/.wh..wh..opq",
}
MORE_NAMES = (
    ("umask 077; : > /data/.wh.nothing", "registry"),
    ("ln -s kept /data/.wh.kept", "registry"),
    ("mkdir /data/.wh..wh.plnk", "registry"),
    # Docker repeats a push that fails for 50 s; buildah-rootless sends this one there above.
    (NAMES["content"], "archive"),
)


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def programs() -> bytes:
    """The layer of a base without /etc, /tmp and all else."""
    buffer = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(bases.busybox_layer())) as source,
        tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target,
    ):
        for member in source:
            if member.name == "bin" or member.name.startswith("bin/"):
                target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return buffer.getvalue()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_engines_made_is_not_in_the_layer(case: Surroundings, bench: Bench) -> None:
    layers = [programs(), *([tar(*MADE)] if case.dressed else [])]
    base = bases.write_layout(bench.folder / "base", layers)
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, "-c", case.commands, "-o", layer)
    assert ran.returncode == 0, ran.stderr
    assert (lines_of(layer) if layer.exists() else []) == sorted(case.expected)


@pytest.mark.parametrize("command", NAMES.values(), ids=NAMES)
def test_a_name_that_means_a_deletion_is_refused(command: str, bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base")
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, "-c", command, "-o", layer)
    assert ran.returncode == BAD_ARCHIVE, ran.stderr
    assert ".wh." in ran.stderr
    assert "rename it in the command" in ran.stderr
    assert not layer.exists()


@pytest.mark.hosts("docker", "podman")
@pytest.mark.parametrize(("command", "transport"), MORE_NAMES)
def test_it_is_refused_however_it_travels(command: str, transport: str, bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base")
    ran = bench.job(base.ref, "--transport", transport, "-c", command)
    assert ran.returncode == BAD_ARCHIVE, ran.stderr
    assert ".wh." in ran.stderr


@pytest.mark.hosts("docker", "podman-rootless", "buildah")
def test_a_link_of_that_name_is_no_success(bench: Bench) -> None:
    """Podman's own commit fails over it without a word of the name."""
    base = bases.busybox(bench.folder / "base")
    ran = bench.job(base.ref, "-c", "ln /data/kept /data/.wh.changed")
    assert ran.returncode in (ENGINE_FAILED, BAD_ARCHIVE), ran.stderr


@pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless", "native")
def test_a_base_of_many_layers(bench: Bench) -> None:
    """What an overlay is mounted with then exceeds the page that the kernel takes."""
    more = [bases.file_layer(f"data/layer{number}", b"x") for number in range(100)]
    base = bases.write_layout(bench.folder / "base", [bases.busybox_layer(), *more])
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, "-c", "rm /data/layer7; echo -n x > /data/new", "-o", layer)
    assert ran.returncode == 0, ran.stderr
    assert lines_of(layer) == ["- data/layer7", "d 755 0:0 data", "f 644 0:0 data/new = x"]
