"""A second machine for engines that are elsewhere: namespaces of its own on this one.

It has another network, another host name and another view of the disk: of what tests make here it
sees nothing, and a port of its loopback is none of ours.  It is reached by one network address,
over which its dockerd listens (unprotected, for nobody else has that network) and an sshd.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.host_engines import container_store, stop
from tests.host_session import PATH, Names, call
from tests.sshkeys import make_key, server_settings, write_client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DISK = "/mnt"
"""Where the machine has its folder, which has another name here."""

DOCKER_PORT, SSH_PORT = 2375, 22
PODMAN_SOCKET = "/run/podman/podman.sock"


@dataclass(frozen=True, slots=True)
class FarMachine:
    """The machine: ``address`` is its own, ``disk`` what it has at ``DISK``.

    ``keys`` has what a client of its sshd needs: ``identity``, ``known_hosts``, and in ``bin`` an
    ``ssh`` that takes both.  ``enter`` precedes commands that are to run there.
    """

    address: str
    disk: Path
    keys: Path
    enter: tuple[str, ...]

    def variables(self, host: str) -> dict[str, str]:
        """What leads a client on a host of that name to its engine here."""
        with_ssh = {"PATH": f"{self.keys}/bin:{PATH}", "RUNCOMMIT_TEST_FAR": shlex.join(self.enter)}
        service = f"ssh://root@{self.address}:{SSH_PORT}{PODMAN_SOCKET}"
        return (
            with_ssh
            | {
                "docker-tcp": {"DOCKER_HOST": f"tcp://{self.address}:{DOCKER_PORT}"},
                "docker-ssh": {"DOCKER_HOST": f"ssh://root@{self.address}"},
                "podman-ssh": {
                    "CONTAINER_HOST": service,
                    "CONTAINER_SSHKEY": f"{self.keys}/identity",
                },
            }[host]
        )

    def introduce(self, home: Path) -> None:
        """Let podman's own ssh in that home know the machine."""
        (home / ".ssh").mkdir()
        (home / ".ssh/known_hosts").symlink_to(self.keys / "known_hosts")

    def containers(self, program: str) -> Path:
        """Where an engine keeps its list of containers, as :class:`tests.hosts.Host` has it."""
        place = {
            "docker": "docker/containers",
            "podman": "podman/store/overlay-containers/containers.json",
        }
        return self.disk / place[program]


@contextlib.contextmanager
def far_machine(folder: Path, names: Names) -> Iterator[FarMachine]:
    """The machine with its engines; all processes end with the block, and so do its mounts."""
    disk, keys = folder / "disk", folder / "keys"
    disk.mkdir(parents=True)
    _make_keys(disk, keys, names.far_address)
    address = names.far_address
    with _namespaces(disk, names) as pid, contextlib.ExitStack() as stack:
        enter = _enter(pid)
        started = [
            _started((*enter, *_dockerd(names)), folder / "dockerd.log", stack),
            _started((*enter, *_sshd(disk, address)), folder / "sshd.log", stack),
            _started((*enter, *_podman(disk, names)), folder / "podman.log", stack),
        ]
        _wait(_listens(address, DOCKER_PORT), started)
        _wait(_listens(address, SSH_PORT), started)
        _wait(Path(f"/proc/{pid}/root{PODMAN_SOCKET}").exists, started)
        yield FarMachine(address, disk, keys, enter)


@contextlib.contextmanager
def _namespaces(disk: Path, names: Names) -> Iterator[int]:
    """The process that holds the namespaces; what runs in them ends with the block."""
    unshare = ("unshare", "--net", "--mount", "--uts", "--propagation", "private")
    holder = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *unshare, "sh", "-c", "echo; exec sleep infinity"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout
        holder.stdout.readline()
        outer, inner = names.far_links
        peer = ("peer", "name", inner, "netns", str(holder.pid))
        call("ip", "link", "add", outer, "type", "veth", *peer)
        call("ip", "address", "add", f"{names.near_address}/30", "dev", outer)
        call("ip", "link", "set", outer, "up")
        call(*_enter(holder.pid), "sh", "-ec", _arrange(disk, inner, names.far_address))
        yield holder.pid
    finally:
        _end_guests(holder.pid)
        holder.kill()
        holder.wait()


def _enter(pid: int) -> tuple[str, ...]:
    return ("nsenter", "--target", str(pid), "--net", "--mount", "--uts", "--wd=/")


def _end_guests(holder: int) -> None:
    """End all other processes of the machine; none where it has no namespace of its own yet."""
    machine = _machine_of(holder)
    if machine in (None, _machine_of(os.getpid())):
        return
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != holder:
            with contextlib.suppress(ProcessLookupError):
                if _machine_of(int(path.name)) == machine:
                    os.kill(int(path.name), signal.SIGKILL)


def _machine_of(pid: int) -> Path | None:
    """The mount namespace of a process; None where it is gone."""
    try:
        return Path(f"/proc/{pid}/ns/mnt").readlink()
    except OSError:
        return None


def _arrange(disk: Path, link: str, address: str) -> str:
    hidden = ("/run", "/tmp", "/var/tmp", "/dev/shm")
    return "\n".join(
        [
            "hostname far",
            "ip link set lo up",
            f"ip address add {address}/30 dev {link}",
            f"ip link set {link} up",
            f"mount --bind {shlex.quote(str(disk))} {DISK}",
            *(f"mount -t tmpfs -o mode=1777 tmpfs {path}" for path in hidden),
            "mkdir /run/sshd /run/podman",
        ]
    )


def _dockerd(names: Names) -> tuple[str, ...]:
    return (
        *("dockerd", "--config-file", f"{DISK}/daemon.json", "--data-root", f"{DISK}/docker"),
        *(
            "--host",
            "unix:///run/docker.sock",
            "--host",
            f"tcp://{names.far_address}:{DOCKER_PORT}",
        ),
        *("--containerd-namespace", f"{names.user}-far"),
        *("--containerd-plugins-namespace", f"{names.user}-far-plugins"),
        *("--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        *("--storage-driver", "overlay2", "--shutdown-timeout", "5"),
    )


def _sshd(disk: Path, address: str) -> tuple[str, ...]:
    lines = (f"ListenAddress {address}", f"Port {SSH_PORT}", "AllowUsers root", "MaxStartups 100")
    (disk / "ssh/config").write_text(server_settings(f"{DISK}/ssh", *lines))
    return ("/usr/sbin/sshd", "-D", "-e", "-f", f"{DISK}/ssh/config")


def _podman(disk: Path, names: Names) -> tuple[str, ...]:
    folder = disk / "podman"
    folder.mkdir()
    variables = container_store(folder, Path("/run/libpod"), "overlay", names)
    for file in (folder / "containers.conf", folder / "storage.conf"):
        file.write_text(file.read_text().replace(str(folder), f"{DISK}/podman"))
    settings = [f"{name}={DISK}/podman/{Path(value).name}" for name, value in variables.items()]
    service = ("podman", "system", "service", "--time=0", f"unix://{PODMAN_SOCKET}")
    return ("env", *settings, *service)


Started = tuple[subprocess.Popen[bytes], Path]
"""A service, and what it has said."""


def _started(command: tuple[str, ...], log: Path, stack: contextlib.ExitStack) -> Started:
    with log.open("wb") as file:
        running = subprocess.Popen(
            # Should this process be killed, the service goes too.
            ["setpriv", "--pdeathsig", "TERM", *command],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env={"PATH": PATH, "HOME": "/root"},
        )  # fmt: skip
    stack.callback(stop, running)
    return running, log


def _wait(ready: Callable[[], bool], started: list[Started]) -> None:
    end = time.monotonic() + 60
    while not ready():
        late = time.monotonic() > end
        for running, log in started:
            if late or running.poll() is not None:
                raise RuntimeError(f"the far machine is not up: {log.read_text()[-3000:]}")
        time.sleep(0.05)


def _listens(address: str, port: int) -> Callable[[], bool]:
    def tried() -> bool:
        with socket.socket() as client:
            client.settimeout(1)
            return client.connect_ex((address, port)) == 0

    return tried


def _make_keys(disk: Path, keys: Path, address: str) -> None:
    (disk / "ssh").mkdir()
    keys.mkdir()
    (disk / "daemon.json").write_text("{}")
    make_key(disk / "ssh/host")
    make_key(keys / "identity")
    (disk / "ssh/identity.pub").write_bytes((keys / "identity.pub").read_bytes())
    # one connection for the many calls of docker's client, as our documentation advises
    shared = ("ControlMaster auto", f"ControlPath {keys}/%C", "ControlPersist 5")
    write_client(keys, address, disk / "ssh/host.pub", *shared)
