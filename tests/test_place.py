"""Where engines are, by their addresses, and what a transport makes of it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core import EngineError, EngineOptions, Place, UsageError, place_at
from runcommit_core.engine.transport import Route, Transport
from runcommit_core.engine.tunnel import tunnel, tunnel_command
from runcommit_core.housekeeping.orphans import orphans
from runcommit_core.interface.mode import Mode
from runcommit_core.plan.making import located, scratch_image
from runcommit_docker import daemon
from runcommit_docker.daemon import place_of as dockers_place
from runcommit_podman_service import connections
from runcommit_podman_service.address import place_of as podmans_place

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = EngineOptions()
DEFAULT = daemon._DEFAULT


@pytest.mark.parametrize(
    ("url", "here", "loopback", "ssh"),
    [
        ("unix:///no/such/docker.sock", True, True, ()),
        ("tcp://127.0.0.1:2375", False, True, ()),
        ("tcp://[::1]:2375", False, True, ()),
        ("tcp://docker:2375", False, False, ()),
        ("ssh://far", False, False, ("--", "far")),
        ("ssh://me@far:23/run/x.sock", False, False, ("-l", "me", "-p", "23", "--", "far")),
        ("ssh://-oProxyCommand=x/", False, False, ("--", "-oProxyCommand=x")),
        ("ssh://Me@Me", False, False, ("-l", "Me", "--", "Me")),
    ],
)
def test_an_address_tells_where_an_engine_is(
    url: str, here: bool, loopback: bool, ssh: tuple[str, ...]
):
    place = place_at(url, ENGINE)
    assert (place.here, place.loopback, place.ssh) == (here, loopback, ssh)


def test_a_key_goes_to_ssh():
    assert place_at("ssh://far", ENGINE, identity="/k").ssh == ("-i", "/k", "--", "far")


def test_no_address():
    with pytest.raises(UsageError, match="tcp://far:none"):
        place_at("tcp://far:none", ENGINE)


def test_a_socket_that_a_forwarder_listens_on_is_not_ours(tmp_path: Path):
    """Any process called ssh will do: what it forwards nobody can see."""
    program, path = tmp_path / "ssh", tmp_path / "socket"
    program.symlink_to(Path(sys.executable).resolve())
    listen = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1])"
    with subprocess.Popen([program, "-c", f"{listen}; s.listen(); time.sleep(60)", path]) as ssh:
        end = time.monotonic() + 30
        while place_at(f"unix://{path}", ENGINE).here and time.monotonic() < end:
            time.sleep(0.02)
        ssh.kill()
        assert time.monotonic() < end


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A client's configuration without contexts; no test asks who listens on the real socket."""
    monkeypatch.setattr(daemon, "_DEFAULT", "unix:///no/such/docker.sock")
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("config", ["", "{}", "[]", '{"currentContext": "default"}'])
def test_docker_asks_nothing_for_the_default_daemon(docker: Path, config: str):
    (docker / "config.json").write_text(config)
    place = dockers_place(EngineOptions(path="/no/such/docker"))
    assert (place.address, place.engine.flags) == ("unix:///no/such/docker.sock", ())


def test_dockers_default_is_the_socket_of_its_packages():
    assert DEFAULT == "unix:///var/run/docker.sock"


def program(folder: Path, answer: str, code: int = 0) -> str:
    """An engine's client that gives one answer, after it has noted the question."""
    path = folder / "client"
    words = ["#!/bin/sh", f'echo "$@" >> {folder}/asked', "cat <<'END'", answer, "END"]
    path.write_text("\n".join([*words, f"exit {code}", ""]))
    path.chmod(0o755)
    return str(path)


def test_dockers_current_context_is_pinned(docker: Path, monkeypatch: pytest.MonkeyPatch):
    (docker / "config.json").write_text('{"currentContext": "far"}')
    engine = EngineOptions(path=program(docker, "ssh://far"), flags=("--debug",))
    place = dockers_place(engine)
    assert place.engine.flags == ("--debug", "--context", "far")
    assert place.ssh == ("--", "far")
    assert (docker / "asked").read_text().startswith("--debug --context far context inspect")
    monkeypatch.setenv("DOCKER_HOST", "tcp://other:1")
    assert dockers_place(engine).address == "tcp://other:1"


@pytest.mark.parametrize(
    "flags", [("-H", "x"), ("-Hx",), ("--host=x",), ("-c", "x"), ("--context=x",)]
)
def test_dockers_flags_come_before_all_else(
    docker: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
):
    monkeypatch.setenv("DOCKER_HOST", "tcp://other:1")
    place = dockers_place(EngineOptions(path=program(docker, "tcp://flagged:1"), flags=flags))
    assert (place.address, place.engine.flags) == ("tcp://flagged:1", flags)


def test_a_context_that_docker_does_not_know(docker: Path):
    engine = EngineOptions(path=program(docker, "no such context", 1), flags=("-c", "x"))
    with pytest.raises(UsageError, match="no such context"):
        dockers_place(engine)


CONNECTIONS = {
    "Connection": {
        "Default": "far",
        "Connections": {
            "near": {"URI": "unix:///x.sock"},
            "far": {"URI": "ssh://me@far:22/x.sock", "Identity": "/key"},
        },
    }
}


@pytest.fixture
def podman(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A program that need not be asked, for its user has two connections in a file."""
    for name in ("CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINER_SSHKEY", "CONTAINERS_CONF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(connections, "_MACHINES", ())
    monkeypatch.setenv("PODMAN_CONNECTIONS_CONF", str(tmp_path / "connections.json"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "connections.json").write_text(json.dumps(CONNECTIONS))
    return "/no/such/podman"


def test_podman_needs_no_service(podman: str):
    assert podmans_place(EngineOptions(path=podman)) == Place(engine=EngineOptions(path=podman))


def test_podmans_default_connection_is_pinned(podman: str):
    place = podmans_place(EngineOptions(path=podman, flags=("--remote",)))
    assert place.engine.flags == ("--remote", "--connection", "far")
    assert place.ssh == ("-i", "/key", "-l", "me", "-p", "22", "--", "far")


def test_podmans_service_of_this_machine(podman: str, tmp_path: Path):
    (tmp_path / "connections.json").unlink()
    place = podmans_place(EngineOptions(path=podman, flags=("--remote",)))
    assert (place.address, place.here) == ("unix:", True)


def test_podmans_connections_and_addresses(podman: str, monkeypatch: pytest.MonkeyPatch):
    named = EngineOptions(path=podman, flags=("--connection=near",))
    assert podmans_place(named).address == "unix:///x.sock"
    with pytest.raises(UsageError, match="'other'; it knows far, near"):
        podmans_place(EngineOptions(path=podman, flags=("-c", "other")))
    monkeypatch.setenv("CONTAINER_CONNECTION", "far")
    assert podmans_place(EngineOptions(path=podman)).address == "ssh://me@far:22/x.sock"
    monkeypatch.setenv("CONTAINER_HOST", "ssh://host:22/y")
    monkeypatch.setenv("CONTAINER_SSHKEY", "/other")
    assert podmans_place(EngineOptions(path=podman)).ssh == (
        "-i",
        "/other",
        "-p",
        "22",
        "--",
        "host",
    )


# --- tunnels, with a program in the place of ssh


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """What makes ``ssh`` a script, in which ``$said`` is the file for its messages."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    find = 'while test "$1" != -E; do shift; done; said=$2'

    def be(script: str) -> None:
        (tmp_path / "ssh").write_text(f"#!/bin/sh\n{find}\n{script}\n")
        (tmp_path / "ssh").chmod(0o755)

    return be


ALLOCATED = "echo Allocated port 4321 for remote forward to 127.0.0.1:1 >> $said"


def test_a_tunnel_lasts_as_long_as_it_is_needed(ssh: Callable[[str], None], tmp_path: Path):
    ssh(f"{ALLOCATED}; exec sleep 60")
    with tunnel(("--", "far"), 1, tmp_path / "tunnel-abc012-1.log") as port:
        assert port == 4321
        # so that prune finds it should we be killed
        assert (tmp_path / "tunnel-abc012-1.log").read_text()
    ssh("echo Permission denied >> $said; exit 255")
    with (
        pytest.raises(EngineError, match="Permission denied"),
        tunnel(("--", "far"), 1, tmp_path / "other.log"),
    ):
        pass


def test_the_tunnel_of_a_killed_job_is_an_orphan(ssh: Callable[[str], None], tmp_path: Path):
    ssh(f"{ALLOCATED}; read -r forever")
    argv = tunnel_command(("--", "far"), 1, tmp_path / "tunnel-abc012abc012-1.log")
    with subprocess.Popen(["setsid", "--fork", *argv], stdin=subprocess.PIPE):
        end = time.monotonic() + 30
        while not (found := list(orphans("abc012abc012"))) and time.monotonic() < end:
            time.sleep(0.02)
        for orphan in found:
            orphan.end()
    assert len(found) == 1
    assert list(orphans("abc012abc012")) == []


def test_without_a_tunnel_archives_go(ssh: Callable[[str], None], leading: Leading):
    ssh("echo forwarding is prohibited >> $said; exit 255")
    transport = leading("ssh://far")
    assert transport.tag("0123") == "localhost/runcommit/job:0123"
    assert transport.mode is Mode.ARCHIVE


def test_the_far_ends_port_is_what_the_engine_is_told(ssh: Callable[[str], None], leading: Leading):
    ssh(f"{ALLOCATED}; exec sleep 60")
    assert leading("ssh://far").tag("0123").startswith("127.0.0.1:4321/")


# --- transports

Leading = Callable[..., Transport]


@pytest.fixture
def leading(tmp_path: Path) -> Iterator[Leading]:
    """Make transports of the empty image that lead to an address, or to this machine."""
    with contextlib.ExitStack() as cleanup:

        def lead(address: str = "", mode: Mode = Mode.AUTO) -> Transport:
            place = place_at(address, ENGINE) if address else None
            route = Route(job_id="0123", mode=mode, folder=tmp_path, cleanup=cleanup, place=place)
            return Transport(scratch_image(), route, locate=located, feeder=lambda _: None)

        yield lead


def test_without_ssh_archives_go_elsewhere(leading: Leading):
    transport = leading("tcp://far:1")
    assert transport.mode is Mode.ARCHIVE
    assert transport.tag("0123") == "localhost/runcommit/job:0123"


def test_a_registry_that_is_not_ours_is_not_believed(leading: Leading):
    transport = leading()
    loaded: list[bytes] = []
    transport.deliver(pull=lambda _: None, load=loaded.extend)
    assert loaded
    assert transport.mode is Mode.ARCHIVE


def test_a_registry_that_took_our_push_is_an_error_when_forced(leading: Leading):
    transport = leading(mode=Mode.REGISTRY)
    with pytest.raises(EngineError, match="another registry than ours"):
        transport.collect("0123", push=lambda _: None, save=lambda: contextlib.nullcontext(None))  # type: ignore[arg-type,return-value]
