"""The podman-api backend: whom it talks to, what its flags become, what it says without podman-py.

What needs an engine stands in the contract, and here for a service that runs already.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import pwd
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import runcommit_podman_api as backend
from runcommit_core import EngineOptions, UsageError
from runcommit_core.plugins.backends import installed
from runcommit_podman_api.flags import part_of
from runcommit_podman_service import connections, tunnel
from runcommit_podman_service.address import Address, address_of
from tests.hosts import session
from tests.sshd import free_port, sshd
from tests.test_failure_help import FAILING, command_of, enter_by_hand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bases import Base
    from tests.hosts import Host

VARIABLES = (
    *("CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINER_SSHKEY", "CONTAINERS_CONF"),
    *("PODMAN_CONNECTIONS_CONF", "XDG_CONFIG_HOME"),
)


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(connections, "_MACHINES", ())


def flags(*words: str) -> EngineOptions:
    return EngineOptions(flags=words)


def test_without_an_address_the_service_is_the_jobs_own():
    assert address_of(flags("--root", "/some/where")) is None


def test_the_address_that_is_nearest_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONTAINER_HOST", "tcp://there:1")
    assert address_of(flags()) == Address("tcp://there:1")
    assert address_of(flags("--url", "unix:///a.sock")) == Address("unix:///a.sock")
    assert address_of(flags("--url=ssh://me@there/x", "--identity", "/key")) == Address(
        "ssh://me@there/x", "/key"
    )


def test_connections_come_from_both_of_podmans_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = tmp_path / "containers"
    folder.mkdir()
    (folder / "containers.conf").write_text(
        '[engine.service_destinations.old]\nuri = "tcp://old:1"\n'
    )
    new = {"URI": "ssh://me@new/s", "Identity": "/k"}
    (folder / "podman-connections.json").write_text(
        json.dumps({"Connection": {"Default": "new", "Connections": {"new": new}}})
    )
    assert address_of(flags("--connection=old")) == Address("tcp://old:1")
    monkeypatch.setenv("CONTAINER_CONNECTION", "new")
    assert address_of(flags()) == Address("ssh://me@new/s", "/k")
    with pytest.raises(UsageError, match="no connection 'none'; it knows new, old"):
        address_of(flags("-c", "none"))


def test_the_default_connection_is_taken_where_a_service_is_asked_for(tmp_path: Path):
    folder = tmp_path / "containers"
    folder.mkdir()
    with pytest.raises(UsageError, match="no default connection; it knows none"):
        address_of(flags("--remote"))
    settings = (
        '[engine]\nactive_service = "a"\n[engine.service_destinations.a]\nuri = "tcp://a:1"\n'
    )
    (folder / "containers.conf").write_text(settings)
    assert address_of(flags()) is None
    assert address_of(flags("--remote")) == Address("tcp://a:1")
    (folder / "podman-connections.json").write_text("{")
    with pytest.raises(UsageError, match=r"podman-connections\.json cannot be read"):
        address_of(flags("--remote"))


def test_a_running_service_takes_no_flags_of_the_program():
    with pytest.raises(UsageError, match="--root"):
        address_of(flags("--url", "unix:///s", "--root", "/x"))


@pytest.mark.parametrize(
    "address",
    [
        *("carrier-pigeon://loft", "tcp://host", "unix://host/path"),
        *("ssh:///path", "ssh://host:port/path", "host"),
    ],
)
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(UsageError, match="no address") as caught:
        address_of(flags("--url", address))
    assert "tcp://HOST:PORT" in caught.value.tip


def test_the_words_for_ssh_are_those_of_the_address():
    words = tunnel.command(Address("ssh://me@[::1]:22/a%20b", "/key"), Path("/s"))
    assert words[-8:] == ("-i", "/key", "-L", "/s:/a b", "-p", "22", "--", "me@::1")
    plain = tunnel.command(Address("ssh://MyHost"), Path("/s"))
    assert plain[-4:] == ("-L", "/s:/run/podman/podman.sock", "--", "MyHost")


def test_a_password_in_an_address_is_refused_and_not_shown():
    with pytest.raises(UsageError, match="password") as caught:
        address_of(flags("--url", "ssh://me:s3cret@there/s"))
    assert "s3cret" not in f"{caught.value}{caught.value.tip}"


def test_flags_of_run_have_their_places():
    words = ("--cap-drop=ALL,MKNOD", "--dns", "1.2.3.4", "--init", "-eA=b=c", "--pid=host")
    more = ("--label", "l", "--cpus=1.5", "-m", "64m", "--userns=keep-id:uid=5", "--cap-drop=KILL")
    assert part_of((*words, *more, "--privileged=false")) == {
        "cap_drop": ["ALL", "MKNOD", "KILL"],
        "dns_server": ["1.2.3.4"],
        "init": True,
        "env": {"A": "b=c"},
        "pidns": {"nsmode": "host"},
        "labels": {"l": ""},
        "resource_limits": {
            "cpu": {"period": 100000, "quota": 150000},
            "memory": {"limit": 64 << 20, "swap": 128 << 20},
        },
        "userns": {"nsmode": "keep-id", "value": "uid=5"},
        "privileged": False,
    }


def test_a_variable_without_a_value_has_the_one_of_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HERE", "this")
    assert part_of(("-e", "HERE", "--env=NOT_HERE")) == {"env": {"HERE": "this"}}


@pytest.mark.parametrize(
    ("words", "said", "cure"),
    [
        (("--gpus=all",), "'--gpus=all' has no counterpart", "the backend podman takes all"),
        (("--cap-add",), "needs a value", ""),
        (("--mount", "type=tmpfs,target=/a"), "is not for podman-api", "own option --mount"),
        (("--net=none",), "is not for podman-api", "own option --network"),
        (("--pids-limit=many",), "--pids-limit does not take 'many'", ""),
        (("--shm-size=-1",), "--shm-size does not take '-1'", ""),
        (("-v", "/a:/b:O"), "--volume does not take '/a:/b:O'", ""),
        (("--security-opt=own=x",), "--security-opt does not take", ""),
        (("--userns=private",), "--userns does not take 'private'", ""),
    ],
)
def test_flags_that_it_cannot_keep_to_are_refused(words: tuple[str, ...], said: str, cure: str):
    with pytest.raises(UsageError) as caught:
        part_of(words)
    assert said in str(caught.value)
    assert cure in caught.value.tip


def test_it_is_tried_last_and_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    names = [item.name for item in installed()]
    assert names[:4] == ["docker", "podman", "buildah", "podman-api"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert "pip install runcommit[podman-api]" in backend.describe(EngineOptions()).problem


@contextlib.contextmanager
def service(host: Host, address: str) -> Iterator[subprocess.Popen[bytes]]:
    """The host's own podman as a service, which listens when the block begins."""
    kind, _, place = address.partition("://")
    with host.popen("podman", "system", "service", "--time=0", address) as running:
        try:
            while not listens(kind, place):
                assert running.poll() is None
                time.sleep(0.02)
            yield running
        finally:
            running.terminate()


def listens(kind: str, place: str) -> bool:
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as probe:
        try:
            name, _, port = place.partition(":")
            probe.connect((name, int(port)) if port else place)
        except OSError:
            return False
    return True


@pytest.fixture
def job(host: Host, busybox_base: Base) -> tuple[str, ...]:
    del host
    command = ("-c", "echo new > /data/added; chown 7:7 /data/added; rm /data/kept")
    return ("run", "--no-cache", "--network=none", busybox_base.ref, *command)


CONNECTION = """
[engine.service_destinations.there]
uri = "{url}"
identity = "{key}"
"""
EACH = pytest.mark.hosts(backend="podman-api")

SEEN_FIRST = ("own", "0077", "100", "200", "a=b", "mounted", "192.0.2.7\tthere", "0 123")
FLAGS = (
    *("--add-host=there:192.0.2.7", "--cap-drop=MKNOD,net_raw", "--device=/dev/null:/dev/other"),
    *("--group-add=123", "--hostname=own", "--init"),
    *("--security-opt=no-new-privileges", "--shm-size=1m", "--sysctl=net.ipv4.ip_default_ttl=42"),
    *("--tmpfs=/scratch:size=64k,mode=700", "-e", "KEY=a=b"),
    # a runtime raises those that are not given, which not every root may do
    *("--ulimit=nofile=100:200", "--ulimit", "nproc=500:600"),
    *("--umask=0077", "--ipc=private", "--cgroupns=private", "--oom-score-adj=200"),
)
SEEN = """
hostname; umask; ulimit -n; ulimit -H -n; echo $KEY; cat /mnt/file
grep -h there /etc/hosts; id -G; ls -l /dev/other | cut -c1-10
grep -E 'NoNewPrivs|CapBnd' /proc/self/status; cat /proc/self/oom_score_adj
grep -E ' (/scratch|/dev/shm|/mnt) ' /proc/mounts | cut -d' ' -f2-4 | sed 's/,[ug]id=.*//' | sort
cat /proc/sys/net/ipv4/ip_default_ttl
"""


@EACH
def test_a_service_that_runs_already_serves(
    host: Host, shared_tmp: Path, job: tuple[str, ...]
) -> None:
    """By its address, with either transport; it stays afterwards."""
    own = host.runcommit(*job).stdout
    env = {"CONTAINER_HOST": f"unix://{shared_tmp}/s"}
    with service(host, env["CONTAINER_HOST"]) as running:
        assert host.runcommit(*job, env=env).stdout == own
        archive = host.runcommit(*job, "--transport", "archive", env=env)
        assert archive.stdout == own
        assert "podman-api" in host.runcommit("backends", env=env).stdout
        refused = host.runcommit(*job, "--run-flag=--gpus=all", env=env, check=False)
        assert (refused.returncode, "--gpus" in refused.stderr) == (2, True)
        assert running.poll() is None
    gone = host.runcommit(*job, env=env, check=False)
    assert gone.returncode == 4, gone.stderr
    assert "podman's service failed to answer" in gone.stderr
    assert "podman.socket" in gone.stderr


@EACH
def test_a_container_kept_in_a_running_service_can_be_entered(
    host: Host, shared_tmp: Path, busybox_base: Base
) -> None:
    cache = shared_tmp / "cache"
    host.run("mkdir", "--mode=700", cache)
    env = {"CONTAINER_HOST": f"unix://{shared_tmp}/s", "RUNCOMMIT_CACHE_DIR": str(cache)}
    with service(host, env["CONTAINER_HOST"]):
        failing = ("run", "--network=none", "--keep-on-failure", busybox_base.ref, *FAILING)
        done = host.runcommit(*failing, check=False, env=env)
        assert done.returncode == 5, done.stderr
        enter_by_hand(host, command_of(done.stderr))
        listed = host.runcommit("prune", env=env).stdout
        assert "kept" in listed
        host.runcommit("prune", "--kept", env=env)
        assert host.runcommit("prune", "--kept", env=env).stdout == ""


@pytest.mark.hosts("podman-api")
def test_a_service_on_tcp_serves(host: Host, job: tuple[str, ...]) -> None:
    env = {"CONTAINER_HOST": f"tcp://127.0.0.1:{free_port()}"}
    with service(host, env["CONTAINER_HOST"]):
        found = host.runcommit(*job, env=env)
        assert found.stdout == host.runcommit(*job).stdout
        told = host.runcommit("doctor", "-b", "podman-api", env=env).stdout
    assert "archives unless it shares this machine's loopback" in " ".join(told.split())


@pytest.mark.hosts("podman-api")
@pytest.mark.needs("podman-api-rootless")
def test_root_takes_no_owners_from_the_store_of_another_user(
    host: Host, shared_tmp: Path, job: tuple[str, ...]
) -> None:
    """A rootless store's files have other ids outside, and root could read them."""
    user = session().host("podman-api:podman-api-rootless")
    own = host.runcommit(*job).stdout
    address = f"unix://{shared_tmp}/s"
    with service(user, address):
        env = {"CONTAINER_HOST": address}
        assert host.runcommit(*job, env=env).stdout == own
        verified = host.runcommit(*job, "--verify", env=env, check=False)
    assert verified.returncode == 2
    assert "another user's" in verified.stderr
    assert not user.leftovers()


@pytest.mark.hosts("podman-api")
@pytest.mark.needs("podman-vfs")
def test_a_store_without_layers_of_its_own_is_read_by_its_root(
    host: Host, shared_tmp: Path, job: tuple[str, ...]
) -> None:
    own = host.runcommit(*job).stdout
    other = session().host("podman-api:podman-vfs")
    with service(other, f"unix://{shared_tmp}/s"):
        env = {"CONTAINER_HOST": f"unix://{shared_tmp}/s"}
        found = host.runcommit(*job, "--metadata", shared_tmp / "told", env=env)
    assert found.stdout == own
    assert '"root"' in (shared_tmp / "told").read_text()
    assert not other.leftovers()


@EACH
def test_flags_of_run_do_what_they_do_for_the_program(
    host: Host, shared_tmp: Path, busybox_base: Base
) -> None:
    (shared_tmp / "file").write_text("mounted\n")
    words = [f"--run-flag={word}" for word in (*FLAGS, "-v", f"{shared_tmp}:/mnt:ro")]
    job = ("run", "--no-cache", "--network=none", *words, busybox_base.ref, "-c", SEEN)
    by_api, by_program = (
        host.runcommit(*job, "-b", backend) for backend in ("podman-api", "podman")
    )
    assert by_api.stderr.splitlines()[: len(SEEN_FIRST)] == list(SEEN_FIRST)
    assert by_api.stderr == by_program.stderr
    assert by_api.stdout == by_program.stdout


@EACH
def test_a_service_behind_ssh_serves(host: Host, shared_tmp: Path, job: tuple[str, ...]) -> None:
    """By its address, and by the name of a connection; podman 4.3 cannot add one with a path."""
    own = host.runcommit(*job).stdout
    settings = shared_tmp / "containers.conf"
    settings.write_text(Path(host.env["CONTAINERS_CONF"]).read_text())
    settings.chmod(0o666)
    with service(host, f"unix://{shared_tmp}/s"), sshd(shared_tmp / "ssh", user_of(host)) as server:
        env = {"CONTAINER_HOST": server.url(f"{shared_tmp}/s"), "PATH": server.path}
        assert host.runcommit(*job, env=env).stdout == own
        bind = ("--mount", f"type=bind,source={shared_tmp},target=/m")
        refused = host.runcommit(*job, *bind, env=env, check=False)
        assert (refused.returncode, "another machine" in refused.stderr) == (2, True)
        named = {"PATH": server.path, "CONTAINERS_CONF": str(settings)}
        with settings.open("a") as file:
            file.write(CONNECTION.format(url=env["CONTAINER_HOST"], key=server.identity))
        by_name = ("--engine-flag=--connection=there",)
        assert host.runcommit(*job, *by_name, env=named).stdout == own
        by_variable = {**named, "CONTAINER_CONNECTION": "there"}
        assert "base" in host.runcommit("prune", "--bases", "--dry-run", env=by_variable).stdout
        # nothing of ours waits there
        assert not tunnels(shared_tmp)


def tunnels(folder: Path) -> list[str]:
    """The command lines of clients of ssh that lead to a socket in ``folder``."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode())
    return [line for line in lines if line.startswith("ssh ") and str(folder) in line]


WRONG = {
    "unknown-host": ("Host key verification failed", "asks, once by hand"),
    "other-key": ("Permission denied", "ssh-agent"),
    "no-service": ("open failed", "podman.socket"),
    "no-server": ("Connection refused", "look at host and port"),
    "not-ssh": ("kex_exchange_identification|Connection reset|Connection closed", "podman info"),
}


@pytest.mark.hosts("podman-api")
def test_what_is_wrong_behind_ssh_is_told_at_once(
    host: Host, shared_tmp: Path, job: tuple[str, ...]
) -> None:
    with sshd(shared_tmp / "ssh", "root") as server, deaf() as mute:
        empty, other = shared_tmp / "empty", shared_tmp / "other"
        empty.touch()
        keygen = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(other))
        subprocess.run(keygen, check=True, stdin=subprocess.DEVNULL)
        good = server.config.read_text()
        ways = {
            "unknown-host": (good.replace(str(server.known_hosts), str(empty)), server.port),
            "other-key": (good.replace(str(server.identity), str(other)), server.port),
            "no-service": (good, server.port),
            "no-server": (good, free_port()),
            "not-ssh": (good, mute),
        }
        for name, (config, port) in ways.items():
            server.config.write_text(config)
            address = f"ssh://root@127.0.0.1:{port}{shared_tmp}/none"
            env = {"CONTAINER_HOST": address, "PATH": server.path}
            done = host.runcommit(*job, env=env, check=False, timeout=40)
            words, cure = WRONG[name]
            assert done.returncode == 4, (name, done.stderr)
            assert address in done.stderr, name
            assert re.search(words, done.stderr), (name, done.stderr)
            assert cure in done.stderr, (name, done.stderr)
            assert "Traceback" not in done.stderr


@contextlib.contextmanager
def deaf() -> Iterator[int]:
    """The port of a server that closes each connection without a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    server.accept()[0].close()

        threading.Thread(target=serve, daemon=True).start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)


def user_of(host: Host) -> str:
    found = [word for word in host.launcher if word.startswith("--reuid=")]
    return pwd.getpwuid(int(found[0].partition("=")[2])).pw_name if found else "root"
