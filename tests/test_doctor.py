"""``runcommit doctor``: it tries what works, and names a cure for what does not."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core import EngineError, EngineOptions, Finding, process, version_finding
from runcommit_core.doctor import machine, rootless
from runcommit_core.engine.cures import cure_for
from runcommit_core.plugins.backends import describe, installed
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from tests.hosts import Host

ENGINES_SAY = {
    "command [ssh -T -l root -- far docker system dial-stdio] has exited with exit status 255, make"
    " sure the URL is valid, and Docker 18.09 or later is installed on the remote host: stderr=": (
        "connection to the engine was cut"
    ),
    "cgroups in hybrid mode not supported, drop all controllers from cgroupv2": 'runtime = "runc"',
    "crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted: OCI permission denied": (
        "default_ulimits = []"
    ),
    "permission denied while trying to connect to the Docker daemon socket at unix:///run/d": (
        "group docker"
    ),
    "Cannot connect to the Docker daemon at unix:///nowhere. Is the docker daemon running?": (
        "start the daemon"
    ),
    'exec: "newuidmap": executable file not found in $PATH': "uidmap",
    "cannot find UID/GID for user builder: no subuid ranges found for user": "--add-subuids",
    "potentially insufficient UIDs or GIDs available in user namespace": "--add-subuids",
    "open /dev/net/tun: permission denied": "/dev/net/tun",
    "failed to read from slirp4netns sync pipe: EOF": "/dev/net/tun",
    "fuse: device not found, try 'modprobe fuse' first": "/dev/fuse",
    "writing blob: write /var/tmp/x: no space left on device": "free space",
    "exec /bin/sh: exec format error": "qemu-user-static",
    "could not find bridge docker0: route ip+net": "bridge",
    "cannot use networks as rootless": "--network none or host",
    'default OCI runtime "crun" not found: invalid argument': "install crun or runc",
    "Cannot connect to the Docker daemon at tcp://far:2375. Is the docker daemon running?": (
        "is that machine up"
    ),
    'error during connect: Get "http://far:2375/info": dial tcp: lookup far: no such host': (
        "no machine has that name"
    ),
    "error during connect: command [ssh -- far docker] has exited with exit status 255, stderr=ssh:"
    " connect to host far port 22: Connection refused": "is that machine up",
    "error during connect: exit status 127, stderr=bash: line 1: docker: command not found": (
        "install the engine there"
    ),
    "Error: failed to connect: ssh: handshake failed: knownhosts: key mismatch": "known_hosts",
    'Error response from daemon: Get "https://far/v2/": dial tcp: lookup far: no such host': (
        "check the image's name"
    ),
}


def checks(report: dict[str, Any], backend: str = "") -> dict[str, dict[str, str]]:
    """The checks of the machine or of a backend, by name."""
    if not backend:
        return {check["check"]: check for check in report["machine"]}
    found = next(item for item in report["backends"] if item["name"] == backend)
    return {check["check"]: check for check in found["checks"]}


def all_images(host: Host) -> set[str]:
    """Also those that jobs may leave."""
    return set(host.run(host.backend, "images", "--all", "--quiet").stdout.split())


def examined(host: Host, code: int = 0, **env: str) -> dict[str, Any]:
    """What the doctor says of a host's backend as JSON."""
    done = host.runcommit("doctor", "-b", host.backend, "--json", check=False, env=env)
    assert done.returncode == code, done.stdout + done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_every_host_is_well(host: Host, shared_tmp: Path):
    bench = host_bench(host, shared_tmp)
    images = all_images(host)
    cache = shared_tmp / "cache"
    before = bench.resources()
    report = examined(host, RUNCOMMIT_CACHE_DIR=str(cache), TMPDIR=str(shared_tmp))
    assert bench.resources() == before
    assert all_images(host) == images
    assert list(shared_tmp.rglob("*")) == [cache]

    assert report["schema_version"] == 1
    of_machine, of_backend = checks(report), checks(report, host.backend)
    assert {check["status"] for check in of_backend.values()} <= {"ok", "info", "warning"}
    assert of_backend["version"]["status"] == "ok"
    assert of_backend["storage"]["status"] == ("warning" if host.naive else "ok")
    assert "a job works" in of_backend["trial"]["found"]
    assert of_backend["loopback registry"]["status"] == "ok"
    chroot = host.spec.isolation == "chroot"
    assert of_backend["network none"]["status"] == ("warning" if chroot else "ok")
    assert of_machine["cache folder"]["status"] == "ok"
    if host.rootless:
        assert of_machine["upper directory"]["status"] == "info"
        assert {of_machine[kind]["status"] for kind in ("subuid", "subgid", "newuidmap")} == {"ok"}
        assert of_machine["/dev/net/tun"]["status"] in {"ok", "info"}
    else:
        assert "subuid" not in of_machine


@pytest.mark.hosts("docker")
def test_a_daemon_that_is_not_there(host: Host):
    report = examined(host, 4, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert not report["backends"][0]["usable"]
    assert "start the daemon" in checks(report, "docker")["engine"]["cure"]


@pytest.mark.hosts("podman")
def test_a_runtime_that_is_not_there(host: Host, shared_tmp: Path):
    conf = shared_tmp / "containers.conf"
    text = Path(host.env["CONTAINERS_CONF"]).read_text()
    conf.write_text(text.replace('"runc"', '"no-such-runtime"'))
    report = examined(host, 4, CONTAINERS_CONF=str(conf))
    found = {**checks(report, "podman")}
    assert "install crun or runc" in (found.get("engine") or found["trial"])["cure"]


@pytest.mark.hosts("podman")
def test_text_of_80_columns(host: Host):
    done = host.runcommit(
        "doctor", "-b", "podman", env={"RUNCOMMIT_CACHE_DIR": "/proc/no"}, check=False
    )
    assert "problem cache folder: " in done.stdout
    assert "→ set RUNCOMMIT_CACHE_DIR" in done.stdout
    assert "podman: can be used" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.hosts("podman-rootless")
def test_a_runtime_folder_that_is_not_ours(host: Host):
    report = json.loads(
        host.runcommit(
            "doctor", "-b", "podman", "--json", check=False, env={"XDG_RUNTIME_DIR": "/nowhere"}
        ).stdout
    )
    found = checks(report)["XDG_RUNTIME_DIR"]
    assert found["status"] == "problem"
    assert "loginctl enable-linger" in found["cure"]


@pytest.mark.hosts("docker")
def test_a_failing_job_names_the_cure(host: Host, shared_tmp: Path):
    done = host.runcommit(
        *("run", "engine:none", "-c", "true"),
        env={"DOCKER_HOST": f"unix://{shared_tmp}/docker.sock"},
        check=False,
    )
    assert done.returncode == 4
    assert "tip: start the daemon" in done.stderr


def test_no_engine_at_all(tmp_path: Path):
    done = process.attempt(
        *(sys.executable, "-m", "runcommit_core", "doctor", "--json"),
        env={**os.environ, "PATH": str(tmp_path)},
    )
    report = json.loads(done.output)
    *engines, native = report["backends"]
    assert [item["name"] for item in engines] == ["docker", "podman", "buildah", "podman-api"]
    assert not any(item["usable"] for item in engines)
    assert {item["checks"][0]["check"] for item in engines} == {"engine"}
    assert all("install" in item["checks"][0]["cure"] for item in engines)
    assert native["name"] == "native"
    assert native["usable"] == (native["checks"][0]["status"] != "problem")
    assert done.returncode == (0 if native["usable"] else 4)
    assert ("cannot be used: docker, podman, buildah" in done.errors) != native["usable"]


@pytest.fixture
def _all_backends() -> None:
    for item in installed():
        describe(item.name, EngineOptions(path="/no/such/program"))


@pytest.mark.usefixtures("_all_backends")
@pytest.mark.parametrize(("words", "cure"), ENGINES_SAY.items())
def test_known_words_have_a_cure(words: str, cure: str):
    assert cure in cure_for(f"Error: {words}\n")
    assert cure in process.failure(["engine", "run"], 125, words).tip


def test_unknown_words_have_none():
    assert cure_for("the engine is in a bad mood") == ""
    assert process.failure(["engine", "run"], 1, "it is in a bad mood").tip == ""


@pytest.mark.parametrize(
    ("version", "status"),
    [("20.10.24", "ok"), ("20.9.1", "problem"), ("v25.0", "ok"), ("", "warning")],
)
def test_versions(version: str, status: str):
    assert version_finding("docker", version, (20, 10)).status == status


def test_a_user_without_subordinate_ids(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000_000)
    found = {finding.check: finding for finding in rootless.rootless_findings()}
    assert found["subuid"].status == found["subgid"].status == "problem"
    assert "--add-subgids" in found["subgid"].cure


def test_a_cache_folder_that_others_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path))
    found = {finding.check: finding for finding in machine.machine_findings()}
    assert found["cache folder"].status == "problem"
    assert "chmod go-w" in found["cache folder"].cure


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    found = {finding.check: finding for finding in machine.machine_findings()}
    assert found["temporary space"].status == "warning"


def test_findings_of_a_backend_of_somebody_elses(monkeypatch: pytest.MonkeyPatch):
    from runcommit_core import hookimpl
    from runcommit_core.doctor import report
    from tests import canned

    @hookimpl
    def diagnose() -> list[Finding]:
        return [Finding("info", "moon", "full")]

    @hookimpl
    def unwell() -> list[Finding]:
        raise EngineError("no answer")

    for hook, expected in ((diagnose, "moon"), (unwell, "diagnose")):
        backend = canned.backend(diagnose=hook)
        monkeypatch.setattr(
            "runcommit_core.plugins.backends.find_backend", lambda _, it=backend: it
        )
        monkeypatch.setattr("runcommit_core.doctor.report.find_backend", lambda _, it=backend: it)
        found = report.examine(["canned"], EngineOptions()).backends[0].findings
        assert found[0].check == expected
