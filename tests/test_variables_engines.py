"""Values of variables on real engines: what they are, and that nobody sees them."""

from __future__ import annotations

import json
import secrets
import threading
from typing import TYPE_CHECKING, Self

import pytest

from runcommit_core.testing.bench import content, processes_with
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from pathlib import Path
    from subprocess import CompletedProcess

    from tests.bases import Base
    from tests.hosts import Host

EACH = pytest.mark.hosts(
    "docker", "docker-tcp", "podman", "podman-rootless", "podman-ssh", "podman-api",
    "buildah", "buildah-chroot", "buildah-rootless",
)  # fmt: skip
OF_CLIENTS = (
    "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "USER", "LC_ALL", "SSL_CERT_FILE", "GODEBUG", "LD_PRELOAD",
    "LD_LIBRARY_PATH", "DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "CONTAINER_HOST",
    "CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "STORAGE_DRIVER", "REGISTRY_AUTH_FILE",
    "BUILDAH_ISOLATION", "_CONTAINERS_USERNS_CONFIGURED", "http_proxy", "NO_PROXY", "NOTIFY_SOCKET",
    "RUNCOMMIT_0",
)  # fmt: skip
"""Names that would change the client itself, were they in its environment."""

ODD_NAMES = ("a.b", "a-b", "minus-", "stars*", "sp ace", "#hash", "1digit", "ü", "-", "a$b", '"q')


def variables(mark: str) -> dict[str, str]:
    values = {
        "PLAIN": mark,
        "PATH": f"/bin:/{mark}",
        "EMPTY": "",
        "BLANKS": f"  {mark}\t ",
        "QUOTES": f"\"{mark}' `",
        "SHELL_WORDS": f"$HOME ${{PATH}} $$ $RUNCOMMIT_1 $({mark}) \\n \\",
        "LINES_OF": f"-----BEGIN\n{mark}\r\n\n# {mark}\nX=\n",
        "SSH_PRIVATE_KEY": f"{mark}\n{mark}\n",
        "RETURN": f"{mark}\r",
        "COMMENT": f"# {mark}",
        "EQUALS": f"={mark}=",
        "UNICODE": f"ü{mark}\u2028€",
        "LARGE": mark * 3000,
    }
    return values | dict.fromkeys(OF_CLIENTS, f"/{mark}") | dict.fromkeys(ODD_NAMES, mark)


class Watch:
    """Reads the command lines of all processes, over and over, in the block."""

    def __init__(self, mark: str) -> None:
        self.seen: set[str] = set()
        self.rounds = 0
        self._mark = mark
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.is_set():
            self.seen.update(processes_with(self._mark))
            self.rounds += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


FROM_A_FILE = """
import json, sys
with open(sys.argv[1]) as file:
    sys.argv = ["runcommit", *json.load(file)]
from runcommit_core.cli import main
main()
"""


def job(
    host: Host, folder: Path, env: dict[str, str], base: Base, *words: str | Path
) -> CompletedProcess[str]:
    """A job whose own command line shows nothing, so that none does."""
    given = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    network = ("--network", "host" if host.spec.isolation == "chroot" else "none")
    options = ("-vv", "-b", host.backend, *network, "--no-cache")
    path = folder / "words.json"
    path.write_text(json.dumps(["run", *options, *given, base.ref, *map(str, words)]))
    return host.run(host.python, "-c", FROM_A_FILE, path, check=False)


@EACH
def test_each_value_arrives_and_none_is_seen(
    host: Host, shared_tmp: Path, busybox_base: Base
) -> None:
    mark = f"s3cret{secrets.token_hex(8)}"
    env, layer, told = variables(mark), shared_tmp / "layer.tar", shared_tmp / "metadata"
    # no shell, which would drop the names that it cannot hold
    copy = ("--", "/bin/dd", "if=/proc/self/environ", "of=/seen")
    with Watch(mark) as watch:
        done = job(host, shared_tmp, env, busybox_base, "-o", layer, "--metadata", told, *copy)
    assert done.returncode == 0, done.stderr
    assert watch.rounds > 1
    assert watch.seen == set()
    assert mark not in done.stdout + done.stderr + told.read_text()
    items = content(layer, "seen").decode().split("\0")
    seen = dict(item.split("=", 1) for item in items if item)
    assert {name: seen.get(name) for name in env if seen.get(name) != env[name]} == {}


@EACH
def test_no_value_is_in_errors_and_explanations(
    host: Host, shared_tmp: Path, busybox_base: Base
) -> None:
    mark = f"s3cret{secrets.token_hex(8)}"
    env = variables(mark)
    before = host_bench(host, shared_tmp).resources()
    failed = job(host, shared_tmp, env, busybox_base, "--run-flag", "--no-such-flag", "-c", "true")
    assert failed.returncode in (2, 4), failed.stderr
    assert "--no-such-flag" in failed.stderr
    explained = [
        job(host, shared_tmp, env, busybox_base, "--explain", *words, "-c", "true")
        for words in ((), ("--json",))
    ]
    for done in explained:
        assert done.returncode == 0, done.stderr
        assert "SOURCE_DATE_EPOCH=" in done.stdout or host.backend == "podman-api"
    for done in (failed, *explained):
        assert mark not in done.stdout + done.stderr
    assert host_bench(host, shared_tmp).resources() == before


@pytest.mark.hosts("docker", "podman", "podman-rootless")
@pytest.mark.parametrize("name", ["PATH", "LD_PRELOAD", "DOCKER_TLS", "https_proxy", "star*"])
def test_what_neither_file_nor_environment_can_hold(
    host: Host, shared_tmp: Path, busybox_base: Base, name: str
) -> None:
    done = job(host, shared_tmp, {name: "s3cret\nline"}, busybox_base, "-c", "true")
    assert done.returncode == 2, done.stderr
    assert name in done.stderr
    assert "s3cret" not in done.stderr
