"""The engines of the test hosts: a private dockerd, private stores of podman and buildah.

None touches an engine or a store that the machine already has.
"""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from tests.host_session import PATH, Names, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def dockerd(folder: Path, names: Names) -> Iterator[str]:
    """A daemon beside any other; yields its address.

    It gets a bridge of its own because ``--bridge=none`` deletes the docker0 of other daemons,
    and leaves iptables alone because a second daemon flushes the chains of the first. So
    containers on its default network reach this machine and nothing else.
    """
    folder.mkdir()
    address = f"unix://{folder}/docker.sock"
    config = folder / "daemon.json"
    config.write_text("{}")
    call("ip", "link", "add", names.docker_bridge, "type", "bridge")
    try:
        with (folder / "log").open("wb") as log:
            daemon = subprocess.Popen(
                [
                    # Should this process be killed, the daemon goes too.
                    *("setpriv", "--pdeathsig", "TERM", "dockerd"),
                    *("--host", address),
                    *("--config-file", config),
                    *("--data-root", folder / "data"),
                    *("--exec-root", folder / "exec"),
                    *("--pidfile", folder / "pid"),
                    # Where the machine runs a containerd, dockerd takes that one.
                    *("--containerd-namespace", names.containerd),
                    *("--containerd-plugins-namespace", f"{names.containerd}-plugins"),
                    *("--bridge", names.docker_bridge),
                    *("--iptables=false", "--ip-forward=false", "--ip-masq=false"),
                    *("--storage-driver", "overlay2"),
                    *("--shutdown-timeout", "5"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": PATH, "HOME": str(folder)},
                start_new_session=True,
            )
        try:
            _wait_for_dockerd(daemon, folder)
            yield address
        finally:
            stop(daemon)
    finally:
        call("ip", "link", "delete", names.docker_bridge)


def _wait_for_dockerd(daemon: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not _answers(folder / "docker.sock"):
        if daemon.poll() is not None or time.monotonic() > deadline:
            log = (folder / "log").read_text(errors="replace")[-3000:]
            raise RuntimeError(f"dockerd does not answer (exit code {daemon.poll()}):\n{log}")
        time.sleep(0.05)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        try:
            client.connect(str(path))
            client.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return b" 200 " in client.recv(64)
        except OSError:
            return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def container_store(folder: Path, runtime: Path, driver: str, names: Names) -> dict[str, str]:
    """Write the configuration of a private podman and buildah; return the variables that name it.

    ``folder`` holds all that they keep: images, containers, networks. ``runtime`` (the user's
    XDG_RUNTIME_DIR) holds what lives as long as the machine is up, locks included: the default
    ones in shared memory belong to everything that one user runs. It must be short: where the
    run root has more than 50 letters podman's cleanup process fails, unseen, and each
    ``podman run`` waits 20 s for it.
    """
    networks = folder / "networks"
    networks.mkdir()
    (networks / "podman.json").write_text(json.dumps(_podman_network(names)))
    (folder / "containers.conf").write_text(
        f"""\
[containers]
default_ulimits = [{_modest_limits()}]

[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{runtime}/libpod/tmp"

[network]
network_backend = "netavark"
network_config_dir = "{networks}"
"""
    )
    (folder / "storage.conf").write_text(
        f"""\
[storage]
driver = "{driver}"
graphroot = "{folder}/store"
rootless_storage_path = "{folder}/store"
runroot = "{runtime}/containers"
"""
    )
    return {
        "CONTAINERS_CONF": f"{folder}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{folder}/storage.conf",
    }


def _modest_limits() -> str:
    """Name limits that we have: by default newer engines raise them, which not every root may do.

    Rootless engines run with at most 32768 processes and cannot raise that either.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = min(max(resource.getrlimit(resource.RLIMIT_NPROC)[1], 1), 32768)
    return f'"nofile={files}:{files}", "nproc={processes}:{processes}"'


def _podman_network(names: Names) -> dict[str, object]:
    """The default network, with a bridge that no other podman on the machine adds to or removes."""
    return {
        "name": "podman",
        "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
        "driver": "bridge",
        "network_interface": names.podman_bridge,
        "created": "2024-01-01T00:00:00Z",
        "subnets": [
            {"subnet": f"{names.podman_network}.0/24", "gateway": f"{names.podman_network}.1"}
        ],
        "ipv6_enabled": False,
        "internal": False,
        "dns_enabled": False,
        "ipam_options": {"driver": "host-local"},
    }
