"""Bases as other tools write them: every engine takes them, and so do we, with one layer."""

from __future__ import annotations

import hashlib
import json
import socket
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import Bench, bases, local_bench
from tests import oddbases
from tests.filecases import EVERYWHERE
from tests.filelists import lines_of
from tests.tars import END, Member, blocks, directory, hardlink, record, symlink, tar
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path

    from tests.hosts import Host

BAD_ARCHIVE = 6
SCRATCH = "runcommit_core.testing.scratch"


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def lines(bench: Bench, base: bases.Base, command: str, *options: str) -> list[str]:
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, "-c", command, "-o", layer, *options)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return lines_of(layer) if layer.exists() else []


# -- all file-system cases ---------------------------------------------------------------------

CASES = [case for case in EVERYWHERE if case.name != "directory-renamed"]
"""A directory that is only implied has the time at which it was unpacked, and takes it along."""


SETTINGS = {"User": "user", "WorkingDir": "/app/missing"}
AS_ROOT = ("-u", "0")


def plain(path: Path) -> bases.Base:
    members = [member for case in CASES for member in case.members()]
    layers = [bases.busybox_layer(), tar(*oddbases.SYSTEM), tar(*members)]
    return bases.write_layout(path, layers, SETTINGS)


def odd(path: Path) -> bases.Base:
    """The same files: absolute names, ``/etc`` elsewhere, directories that a layer only implies."""
    members = [member for case in CASES for member in case.members()]
    below, above = oddbases.in_two(oddbases.absolute(members))
    system = oddbases.moved(bases.busybox_layer(), b"usr")
    layers = [oddbases.rooted(system), tar(*oddbases.SYSTEM), tar(*below)]
    return bases.write_layout(path, [*layers, tar(*above) + b"more"], SETTINGS)


@pytest.fixture(scope="session")
def commands() -> list[str]:
    return [word for case in CASES for word in ("-c", case.script)]


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory, commands: list[str]) -> str:
    """The diff_id on the plain base, by the backend that has no engine."""
    folder = tmp_path_factory.mktemp("scratch")
    base = plain(folder / "base")
    ran = local_bench(SCRATCH, folder, set).job(base.ref, *AS_ROOT, *commands)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return ran.diff_id


def test_every_case_is_the_same_on_an_odd_base(
    bench: Bench, commands: list[str], expected: str
) -> None:
    base = odd(bench.folder / "base")
    ran = bench.job(base.ref, *AS_ROOT, *commands)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.diff_id == expected


# -- what engines take -------------------------------------------------------------------------


def test_nothing_changes_on_an_odd_base(bench: Bench) -> None:
    assert lines(bench, oddbases.odd(bench.folder / "base"), "true") == []


def test_an_odd_base_holds_what_engines_unpack(bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base")
    digest = hashlib.sha256(oddbases.SPARSE_CONTENT).hexdigest()
    seen = (
        f"set -e; cd /odd; test $(sha256sum < sparse | cut -c1-64) = {digest}; test ! -e gone;"
        " test $(cat lib/own hard replaced/own) = ownownown; test $(cat team/late up) = lateup;"
    )
    touched = "chmod 1777 .; chmod 644 sparse kept; touch -d @1600000000 sparse; rm lib/own x* y*"
    assert lines(bench, base, seen + touched) == [
        "- odd/lib/own",
        f"- odd/{'x' * 255}",
        f"- odd/{'y' * 252}",
        "d 1777 0:0 odd @1600000000",
        "d 755 0:0 odd/lib @1600000000",
    ]


IMPLIED = {
    "echo -n n > n": ["d 1777 1000:50 odd/team @1600000000", "f 644 0:0 odd/team/n = n"],
    "rm late": ["- odd/team/late", "d 1777 1000:50 odd/team @1600000000"],
    "chmod 700 .": ["d 700 1000:50 odd/team @1600000000"],
    "chown 7 .; chmod 1777 .": ["d 1777 7:50 odd/team @1600000000"],
    "touch x; rm x": [],
}


@pytest.mark.parametrize("command", IMPLIED)
def test_an_implied_directory_is_as_the_lower_layer_has_it(command: str, bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base")
    found = lines(bench, base, f"cd /odd/team; {command}")
    top = ["d 1777 0:0 odd @1600000000"] * bool(IMPLIED[command])
    assert found == sorted([*IMPLIED[command], *top])


def test_an_implied_directory_is_no_false_alarm(bench: Bench) -> None:
    """The layer lists what the engine shows otherwise."""
    base = oddbases.odd(bench.folder / "base")
    assert lines(bench, base, "echo n > /odd/team/n; rm /odd/kept", "--verify")


@pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah", "buildah-rootless")
@pytest.mark.parametrize("transport", ["registry", "archive"])
def test_it_is_the_same_however_it_travels(transport: str, bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base", is_saveable=True)
    command = "cd /odd; rm x* up; echo -n n > team/n"
    direct = lines(bench, base, command)
    assert lines(bench, base, command, "--transport", transport) == direct


def test_devices_that_were_not_made_are_not_deleted(bench: Bench) -> None:
    layers = [bases.busybox_layer(), tar(*oddbases.SYSTEM)]
    base = bases.write_layout(bench.folder / "base", layers)
    assert lines(bench, base, "true") == []
    assert lines(bench, base, "rm /srv/pipe; echo -n x > /srv/x", "--verify") == [
        "- srv/pipe",
        "d 755 0:0 srv @1600000000",
        "f 644 0:0 srv/x = x",
    ]


@pytest.mark.hosts("docker", "podman", "buildah-rootless", "native")
def test_the_history_is_the_bases_and_ours(bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base")
    layout = bench.folder / "base"
    config = json.loads((layout / "blobs/sha256" / digest_of_config(layout)).read_bytes())
    one = with_config(base, {**config, "history": [{"created_by": "all at once"}]})
    assert lines(bench, one, "echo -n x > /odd/kept", "--image", str(bench.folder / "image"))
    made = json.loads(config_of(bench.folder / "image"))
    assert made["history"][0]["created_by"] == "all at once"
    assert len(made["history"]) == 2
    assert len(made["rootfs"]["diff_ids"]) == 4


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
def test_a_config_without_a_platform_runs_as_it_is_asked_for(bench: Bench) -> None:
    base = oddbases.odd(bench.folder / "base")
    config = json.loads(config_of(base.path))
    machine = config.pop("architecture")
    silent = with_config(base, {**config, "os": ""})
    ran = bench.job(silent.ref, "-c", "echo RAN")
    assert ran.returncode == BAD_ARCHIVE, ran.stderr
    assert "--platform" in ran.stderr
    assert lines(bench, silent, "echo -n x > /odd/kept", "--platform", f"linux/{machine}")


def digest_of_config(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_bytes())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((layout / "blobs/sha256" / digest).read_bytes())
    return str(manifest["config"]["digest"].removeprefix("sha256:"))


def config_of(layout: Path) -> bytes:
    return (layout / "blobs/sha256" / digest_of_config(layout)).read_bytes()


def with_config(base: bases.Base, config: dict[str, object]) -> bases.Base:
    """The base under another config."""
    store = base.path / "blobs/sha256"
    index = json.loads((base.path / "index.json").read_bytes())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    manifest = json.loads((store / digest).read_bytes())
    manifest["config"].update(put(store, config))
    index["manifests"][0].update(put(store, manifest))
    (base.path / "index.json").write_text(json.dumps(index))
    return base


def put(store: Path, document: object) -> dict[str, object]:
    data = json.dumps(document).encode()
    digest = hashlib.sha256(data).hexdigest()
    (store / digest).write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


# -- what is wrong is said first -----------------------------------------------------------------

TWO_HEADERS = b"".join(
    blocks(Member(b"x", b"x", record(b"path", name))) for name in (b"odd/one", b"odd/two")
)
WRONG = {
    "leads out": tar(Member(b"../odd")),
    "two headers": TWO_HEADERS + tar(Member(b"odd/f")),
    "below a whiteout": tar(directory(b"odd"), Member(b"odd/.wh.x/y")),
    "device 0:0": tar(Member(b"odd", b"3", device=(0, 0))),
    "below a file": tar(Member(b"odd"), Member(b"odd/.wh.x", mode=0)),
    "a dangling link": tar(symlink(b"l", b"nowhere"), Member(b"l/x")),
    "a wrong sum": tar(Member(b"odd")).replace(b"odd", b"ode", 1),
    "a sparse map": tar(
        Member(b"odd", pax={b"GNU.sparse.map": b"0,9", b"GNU.sparse.numblocks": b"1"})
    ),
    "truncated": tar(Member(b"odd", content=b"x" * 900), end=b"")[:800],
    "another header": tar(Member(b"odd"), end=bytes(512)) + tar(Member(b"second")) + END,
}


@pytest.mark.hosts("docker", "buildah-rootless")
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_base_is_said_before_the_command_runs(
    wrong: bytes, bench: Bench
) -> None:
    base = bases.write_layout(bench.folder / "base", [bases.busybox_layer(), wrong])
    for _ in range(2):  # the second time the engine may have the private copy already
        ran = bench.job(base.ref, "-c", "echo RAN")
        assert "RAN" not in ran.stderr
        assert "layer sha256:" in ran.stderr
        assert ran.returncode == BAD_ARCHIVE, ran.stderr


# -- sockets -------------------------------------------------------------------------------------

BIND = "bind() { cp -a /sockets/one $1; };"
"""What busybox has to make a socket without /dev/log, which may be the machine's."""


def mounted_socket(bench: Bench) -> tuple[str, str]:
    """The words of a job that has a socket at ``/sockets/one``."""
    folder = bench.folder / "sockets"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"{folder}/one")
    return "--mount", f"type=bind,source={folder},target=/sockets,readonly"


WAYS = ("auto", "registry", "archive")


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_is_nothing_but_hides_what_was_there(way: str, bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base")
    layer = bench.folder / "layer.tar"
    command = f"{BIND} rm /data/kept; bind /data/kept; mkdir /data/d; bind /data/d/new"
    options = ("--transport", way, *mounted_socket(bench), "-o", layer)
    ran = bench.job(base.ref, *options, "-c", command)
    assert ran.returncode == 0, ran.stderr
    assert lines_of(layer) == ["- data/kept", "d 755 0:0 data", "d 755 0:0 data/d"]
    told = [line for line in ran.stderr.splitlines() if "is a socket" in line]
    assert sorted(line.partition(" is a socket")[0].split()[-1] for line in told) == [
        "data/d/new",
        "data/kept",
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_socket_alone_makes_no_layer(way: str, bench: Bench) -> None:
    base = bases.busybox(bench.folder / "base")
    metadata = bench.folder / "report.json"
    arguments = ("--transport", way, "--metadata", metadata, *mounted_socket(bench))
    ran = bench.job(base.ref, *arguments, "-c", f"{BIND} bind /data/new")
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert ran.stderr.count("data/new is a socket") == 1
    (warning,) = json.loads(metadata.read_bytes())["warnings"]
    assert warning.startswith("data/new is a socket")


@pytest.mark.hosts("docker", "podman", "podman-vfs", "buildah-rootless", "native")
def test_what_the_engine_refuses_is_said_before_the_command_runs(bench: Bench) -> None:
    wrong = tar(hardlink(b"odd", b"odd"))
    base = bases.write_layout(bench.folder / "base", [bases.busybox_layer(), wrong])
    ran = bench.job(base.ref, "-c", "echo RAN")
    assert ran.returncode == BAD_ARCHIVE, ran.stderr
    assert "RAN" not in ran.stderr
    assert "is a hardlink to b'odd'" in ran.stderr
