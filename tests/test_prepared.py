"""What an engine prepares is not what the command did, whatever the base is like."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runcommit_core.testing import Bench, bases
from tests import oddbases
from tests.filelists import lines_of
from tests.tars import Member, directory, symlink, tar
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.hosts import Host


@dataclass(frozen=True, kw_only=True)
class Case:
    """A layer on top of a busybox, and what a job on it has to leave; ``NEW`` unless it says more.

    ``files`` are put over the busybox, whose ``etc`` is at ``etc``; ``settings`` are the config's.
    """

    name: str
    files: tuple[Member, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    command: str = "echo -n n > /pub/n; chmod 644 /pub/n"
    lines: tuple[str, ...] = ()
    user: str = "0:0"

    def __str__(self) -> str:
        return self.name

    @property
    def expected(self) -> list[str]:
        new = ("d 1777 0:0 pub @1600000000", f"f 644 {self.user} pub/n = n")
        return sorted([*new, *self.lines])


PUB = directory(b"pub", mode=0o1777)
STUB = b"../run/systemd/resolve/stub-resolv.conf"
CASES = (
    Case(name="nothing odd"),
    Case(
        name="links lead elsewhere, user and workdir are nowhere",
        files=(
            directory(b"var"),
            directory(b"var/run"),
            symlink(b"run", b"var/run"),
            symlink(b"etc/resolv.conf", STUB),
            symlink(b"etc/hostname", b"../usr/lib/hostname"),
            symlink(b"etc/mtab", b"/proc/self/mounts"),
            symlink(b"etc/localtime", b"/usr/share/zoneinfo/UTC"),
            directory(b"state"),
            symlink(b"srv", b"state"),
            symlink(b"etc/hosts", b"/srv/a"),
            symlink(b"state/a", b"b/c"),
            directory(b"data/deep"),
            symlink(b"app", b"/data/deep/new"),
        ),
        settings={"User": "user", "WorkingDir": "/app/x"},
        options=("-u", "1234:5555", "--network", "host"),
        user="1234:5555",
        lines=(
            "d 755 0:0 data",
            "d 755 0:0 data/deep @1600000000",
            "d 755 0:0 data/deep/new",
            "d 755 0:0 data/deep/new/x",
        ),
    ),
    Case(
        name="links lead to where nothing is, a workdir that is asked for",
        files=(
            directory(b"var"),
            directory(b"run"),
            symlink(b"var/run", b"../run"),
            symlink(b"etc/hosts", b"/var/lib/names/hosts"),
        ),
        settings={"User": "user", "WorkingDir": "/missing"},
        options=("-w", "/app/x"),
        user="1000:1000",
        lines=("d 755 0:0 app", "d 755 0:0 app/x"),
    ),
    Case(
        name="made by podman, a workdir that goes",
        files=(
            directory(b"run"),
            Member(b"run/.containerenv", content=b"engine\n", mode=0o700),
            Member(b".dockerenv", mode=0o755),
            Member(b"etc/hosts", content=b"127.0.0.1 base\n"),
            directory(b"dev"),
            directory(b"dev/pts"),
            directory(b"dev/shm", mode=0o1777),
            Member(b"dev/console", b"3", mode=0o600, device=(5, 1)),
        ),
        settings={"WorkingDir": "/app/x"},
        command="echo -n n > /pub/n; chmod 644 /pub/n; rmdir ../x; chmod 700 ..",
        lines=("d 700 0:0 app",),
    ),
)


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Bench:
    return host_bench(host, shared_tmp)


def made(path: Path, case: Case) -> bases.Base:
    layers = [bases.busybox_layer(), tar(PUB, *case.files)]
    return bases.write_layout(path, layers, case.settings)


def lines(bench: Bench, base: bases.Base, *arguments: str) -> list[str]:
    layer = bench.folder / "layer.tar"
    ran = bench.job(base.ref, *arguments, "-o", layer)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return lines_of(layer) if layer.exists() else []


@pytest.mark.hosts("*")
@pytest.mark.parametrize("case", CASES[1:], ids=str)
def test_the_layer_holds_what_the_command_did(case: Case, bench: Bench) -> None:
    base = made(bench.folder / "base", case)
    assert lines(bench, base, *case.options, "-c", case.command) == case.expected


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
def test_run_is_a_link_to_nowhere(bench: Bench) -> None:
    """Which buildah's chroot isolation does not take."""
    case = replace(CASES[0], files=(symlink(b"run", b"/state/run"),))
    base = made(bench.folder / "base", case)
    assert lines(bench, base, "-c", case.command) == case.expected


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
@pytest.mark.parametrize("way", ["registry", "archive"])
def test_it_is_so_by_every_way(way: str, bench: Bench) -> None:
    case = CASES[1]
    base = made(bench.folder / "base", case)
    options = ("--transport", way, *case.options)
    assert lines(bench, base, *options, "-c", case.command) == case.expected


@pytest.mark.hosts("docker", "podman", "buildah", "podman-api")
def test_what_was_prepared_is_no_false_alarm(bench: Bench) -> None:
    case = CASES[-1]
    base = made(bench.folder / "base", case)
    assert lines(bench, base, "-c", case.command, "--verify") == case.expected


# -- /etc itself is a link, and nothing of the system is there --------------------------------


@pytest.mark.hosts("*")
def test_etc_is_a_link(bench: Bench) -> None:
    layers = [oddbases.moved(bases.busybox_layer(), b"usr"), tar(PUB)]
    base = bases.write_layout(bench.folder / "base", layers)
    assert lines(bench, base, "-c", CASES[0].command) == CASES[0].expected
    assert lines(bench, base, "-c", "true") == []


# -- the machine's settings --------------------------------------------------------------------

SETTINGS = '[containers]\numask = "0077"\ntz = "local"\n'
OWN = "umask > /pub/n; env | grep -i proxy >> /pub/n"
PROXIES = {"http_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}


@pytest.mark.hosts("*")
def test_settings_of_the_machine_do_not_reach_the_run(host: Host, bench: Bench) -> None:
    base = made(bench.folder / "base", CASES[0])
    env = {**PROXIES, **with_settings(host, bench.folder)}
    layer = bench.folder / "layer.tar"
    # whoever calls us has a umask of his own
    command = ("sh", "-c", 'umask 077; exec "$@"', "sh", *bench.command)
    ran = replace(bench, command=command).job(
        base.ref, "-c", f"{OWN}; chmod 644 /pub/n", "-o", layer, env=env
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert lines_of(layer) == ["d 1777 0:0 pub @1600000000", "f 644 0:0 pub/n = 0022\n"]


def with_settings(host: Host, folder: Path) -> dict[str, str]:
    """Variables that name settings like the host's, and those of :data:`SETTINGS`."""
    if host.backend == "docker":
        (folder / "config.json").write_text(json.dumps({"proxies": {"default": PROXY_SETTINGS}}))
        return {"DOCKER_CONFIG": str(folder)}
    own = Path(host.env["CONTAINERS_CONF"]).read_text() if "CONTAINERS_CONF" in host.env else ""
    conf = folder / "containers.conf"
    conf.write_text(own.replace("[containers]\n", SETTINGS, 1) if own else SETTINGS)
    return {"CONTAINERS_CONF": str(conf)}


PROXY_SETTINGS = {"httpProxy": "http://127.0.0.1:9", "noProxy": "localhost"}


# -- what RUN means ----------------------------------------------------------------------------

TWICE = {"Env": ["PATH=/bin", "JAVA_HOME=/old", "JAVA_HOME=/new"], "Shell": ["/bin/sh", "-ec"]}
STOPPED = 5


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
def test_the_base_says_shell_and_variables(bench: Bench) -> None:
    base = made(bench.folder / "base", replace(CASES[0], settings=TWICE))
    command = "echo -n $JAVA_HOME > /pub/n; chmod 644 /pub/n"
    new = ["d 1777 0:0 pub @1600000000", "f 644 0:0 pub/n = /new"]
    assert lines(bench, base, "-c", command, "-c", "export JAVA_HOME=/mine") == new
    assert bench.job(base.ref, "-c", f"{command}; false; true").returncode == STOPPED
    assert lines(bench, base, "--shell", "/bin/sh -c", "-c", f"{command}; false; true") == new


# -- what no layer can say is told ---------------------------------------------------------------


@pytest.mark.hosts("docker", "podman", "podman-rootless", "buildah-rootless")
@pytest.mark.parametrize("way", ["auto", "registry"])
def test_a_change_of_the_root_itself_is_told(way: str, bench: Bench) -> None:
    base = made(bench.folder / "base", CASES[0])
    metadata = bench.folder / "report.json"
    options = ("--transport", way, "--metadata", metadata)
    ran = bench.job(base.ref, *options, "-c", "chmod 711 /")
    assert (ran.returncode, ran.stdout) == (0, ""), ran.stderr
    assert ran.stderr.count("/ itself was changed from") == 1
    (warning,) = json.loads(metadata.read_bytes())["warnings"]
    assert "711" in warning
    assert "/ itself" not in bench.job(base.ref, "--transport", way, "-c", "true").stderr
