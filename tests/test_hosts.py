"""The hosts themselves: each runs a container as itself, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.hosts import VARIABLE, Host, session

if TYPE_CHECKING:
    from tests.bases import Base

ROOT_NETWORKS = ("none", "host", "bridge")


def test_missing_hosts_are_an_error_that_names_the_cure(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone.json"))
    with pytest.raises(LookupError, match="scripts/test"):
        session.__wrapped__()


@pytest.mark.hosts(backend="docker")
@pytest.mark.parametrize("network", ROOT_NETWORKS)
def test_docker_runs_a_container(host: Host, busybox_base: Base, network: str):
    address = host.env["DOCKER_HOST"]
    image = f"hosts-test:{network}"
    host.run(
        *("skopeo", "copy", "--dest-daemon-host", address),
        *(busybox_base.ref, f"docker-daemon:{image}"),
    )
    try:
        done = host.run("docker", "run", "--rm", f"--network={network}", image, "cat", "/etc/motd")
        assert done.stdout == "welcome\n"
    finally:
        host.run("docker", "rmi", image)


def networks(host: Host) -> tuple[str, ...]:
    return ("none", "host") if host.rootless else ROOT_NETWORKS


@pytest.mark.hosts(backend="podman")
def test_podman_runs_a_container(host: Host, busybox_base: Base):
    image = host.run("podman", "pull", "--quiet", busybox_base.ref).stdout.strip()
    try:
        for network in networks(host):
            done = host.run(
                *("podman", "run", "--rm", f"--network={network}", image, "cat", "/etc/motd")
            )
            assert done.stdout == "welcome\n"
    finally:
        host.run("podman", "rmi", image)


@pytest.mark.hosts(backend="buildah")
def test_buildah_runs_a_command(host: Host, busybox_base: Base):
    container = host.run("buildah", "from", busybox_base.ref).stdout.strip()
    try:
        for network in ("host",) if host.spec.isolation == "chroot" else networks(host):
            option = () if network == "bridge" else (f"--network={network}",)
            done = host.run("buildah", "run", *option, container, "cat", "/etc/motd")
            assert done.stdout == "welcome\n"
    finally:
        host.run("buildah", "rm", container)
        host.run("buildah", "rmi", "--all")


DRIVER = {
    "docker": ("docker", "info", "--format", "{{.Driver}}"),
    "podman": ("podman", "info", "--format", "{{.Store.GraphDriverName}}"),
    "buildah": ("sh", "-c", 'buildah info | sed -n \'s/.*"GraphDriverName": "\\(.*\\)".*/\\1/p\''),
}


def test_storage_is_what_the_host_promises(host: Host):
    assert host.run(*DRIVER[host.backend]).stdout.strip() == host.spec.driver


def test_only_rootless_hosts_are_rootless(host: Host):
    assert (host.run("id", "--user").stdout != "0\n") is host.rootless


@pytest.mark.hosts(rootless=True)
def test_rootless_hosts_use_the_installed_wheel(host: Host):
    where = host.run(host.python, "-c", "import runcommit_core as r; print(r.__file__)").stdout
    assert "/site-packages/runcommit_core/" in where


@pytest.mark.hosts(rootless=True)
def test_rootless_hosts_start_where_root_alone_can_be(host: Host, shared_tmp):
    (shared_tmp / "closed/inner").mkdir(parents=True)
    assert host.run("pwd", cwd=shared_tmp / "closed/inner").stdout == f"{shared_tmp}/closed/inner\n"
    (shared_tmp / "closed").chmod(0o700)
    assert host.run("pwd", cwd=shared_tmp / "closed/inner").stdout == f"{host.home}\n"


def test_every_host_writes_to_a_shared_folder(host: Host, shared_tmp):
    host.run("touch", shared_tmp / "file")
    assert (shared_tmp / "file").exists()


@pytest.mark.hosts("podman", "podman-rootless", "buildah-rootless")
def test_leftovers_are_seen(host: Host, busybox_base: Base):
    assert host.leftovers() == set()
    container = host.run("buildah", "from", busybox_base.ref).stdout.strip()
    try:
        assert len(host.leftovers()) == 1
    finally:
        host.run("buildah", "rm", container)
        host.run("buildah", "rmi", "--all")
    assert host.leftovers() == set()


def test_signals_reach_the_command(host: Host):
    with host.popen("sleep", "60") as process:
        process.terminate()
        assert process.wait(10) == -15
