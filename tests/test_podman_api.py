"""The podman-api backend: whom it talks to, what its flags become, what it says without podman-py.

What needs an engine stands in the contract, and here for a service that runs already.
"""

from __future__ import annotations

import importlib.util
import json
import time
from typing import TYPE_CHECKING

import pytest

import runcommit_podman_api as backend
from runcommit_core import EngineOptions, UsageError
from runcommit_core.plugins import installed
from runcommit_podman_api.address import Address, address_of
from runcommit_podman_api.creation import read_flags

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_running_service_takes_no_flags_of_the_program():
    with pytest.raises(UsageError, match="--root"):
        address_of(flags("--url", "unix:///s", "--root", "/x"))
    with pytest.raises(UsageError, match="no address"):
        address_of(flags("--url", "carrier-pigeon://loft"))


def test_flags_of_run_have_their_places_or_are_refused():
    words = ("--cap-drop=ALL", "--dns", "1.2.3.4", "--init", "-e", "A=b=c", "--pid=host")
    assert list(read_flags(words)) == [
        ("cap_drop", ["ALL"]),
        ("dns_server", ["1.2.3.4"]),
        ("init", True),
        ("env", {"A": "b=c"}),
        ("pidns", {"nsmode": "host"}),
    ]
    with pytest.raises(UsageError, match="--gpus") as caught:
        list(read_flags(("--gpus=all",)))
    with pytest.raises(UsageError, match="needs a value"):
        list(read_flags(("--cap-add",)))
    assert "backend podman takes all" in caught.value.tip


def test_it_is_tried_last_and_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch):
    names = [item.name for item in installed()]
    assert names[:4] == ["docker", "podman", "buildah", "podman-api"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert "pip install runcommit[podman-api]" in backend.describe(EngineOptions()).problem


@pytest.mark.hosts(backend="podman-api")
def test_a_service_that_runs_already_serves(host: Host, shared_tmp: Path, busybox_base: Base):
    """By its address, with either transport, and by a connection; it stays afterwards."""
    address = f"unix://{shared_tmp}/s"
    job = ("run", "--no-cache", "--network=none", busybox_base.ref, "-c", "echo new > /data/added")
    own = host.runcommit(*job).stdout
    with host.popen("podman", "system", "service", "--time=0", address) as service:
        try:
            while not (shared_tmp / "s").exists():
                assert service.poll() is None
                time.sleep(0.02)
            env = {"CONTAINER_HOST": address}
            assert host.runcommit(*job, env=env).stdout == own
            archive = host.runcommit(*job, "--transport", "archive", env=env)
            assert archive.stdout == own
            assert "podman-api" in host.runcommit("backends", env=env).stdout
            refused = host.runcommit(*job, "--run-flag=--gpus=all", env=env, check=False)
            assert (refused.returncode, "--gpus" in refused.stderr) == (2, True)
            assert service.poll() is None
        finally:
            service.terminate()
    gone = host.runcommit(*job, env=env, check=False)
    assert gone.returncode == 4, gone.stderr
    assert "podman's service failed to answer" in gone.stderr
