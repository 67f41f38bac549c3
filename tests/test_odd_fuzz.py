"""Random bases as tools may write them: a command that does nothing changes nothing, on any engine.

A few each time; ``RUNCOMMIT_TEST_FUZZ=500`` tries more.  What was found once stands as an example.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from runcommit_core.testing import Bench, bases
from tests.filelists import lines_of
from tests.oddbases import rooted
from tests.run_folder import agree
from tests.tars import Member, directory, symlink, tar
from tests.test_backends import bench_without_copies

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.hosts import Host

EXAMPLES = int(os.environ.get("RUNCOMMIT_TEST_FUZZ", "2"))

PLACES = (
    "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab", "etc/localtime",
    "run/.containerenv", "run/secrets", "dev/console", "dev/shm", ".dockerenv",
)  # fmt: skip
"""What engines may mount over or make."""

TARGETS = ("/state/there", "../state/a/b", "/nowhere/x", "../srv/one", "/srv/link/y", "made")
WORKDIRS = ("", "/", "/app", "app/deep", "/srv/link/w", "/var/run/w", "/state/../w", "/data")
USERS = ("", "user", "1234", "user:77", "0:5")
COMMANDS = (
    "true",
    "echo -n n > /data/n; chmod 644 /data/n",
    "rm /data/kept; mkdir /data/new",
    "mv /data/tree /data/bush",
    "rm -r /data/tree; mkdir /data/tree; echo -n n > /data/tree/n; chmod 644 /data/tree/n",
    "touch /data/x; rm /data/x",
)


@dataclass(frozen=True)
class Odd:
    """A base by what is at each of some places (a link's target, else a kind), and its config."""

    system: tuple[tuple[str, str], ...]
    run: str
    prefix: str
    lists_parents: bool
    user: str
    workdir: str
    command: str

    def layers(self) -> list[bytes]:
        first = [directory(b"srv"), symlink(b"srv/link", b"../state"), directory(b"state")]
        first += [directory(b"data/sub"), directory(b"var")]
        if self.run == "directory":
            first += [directory(b"run"), symlink(b"var/run", b"../run")]
        elif self.run == "link":
            first += [directory(b"var/run"), symlink(b"run", b"var/run")]
        second = [found for name, what in self.system for found in self._at(name, what)]
        if self.run == "link":
            second = [found for found in second if not found.name.startswith(b"run/")]
        prefix = self.prefix.encode()
        once = {found.name: found for found in second}.values()  # engines take no path twice
        named = [replace(found, name=prefix + found.name) for found in once]
        low = bases.busybox_layer()
        return [rooted(low) if prefix == b"/" else low, tar(*first), tar(*named)]

    def _at(self, name: str, what: str) -> Iterator[Member]:
        path = name.encode()
        above = path.rpartition(b"/")[0]
        if self.lists_parents and above not in (b"", b"etc"):
            yield directory(above)
        if what == "file":
            yield Member(path, content=b"base's\n")
        elif what == "empty":
            yield Member(path, mode=0o755)
        elif what == "directory":
            yield directory(path)
        else:
            yield symlink(path, what.encode())


KINDS = {"run/secrets": ("directory",), "dev/shm": ("directory",), "dev/console": ("file", "empty")}
ODD = st.builds(
    Odd,
    system=st.lists(st.sampled_from(PLACES), unique=True, max_size=5).flatmap(
        lambda names: st.tuples(
            *(
                st.tuples(
                    st.just(name),
                    st.sampled_from(KINDS.get(name, ("file", "empty", *TARGETS))),
                )
                for name in names
            )
        )
    ),
    run=st.sampled_from(("directory", "link", "nothing")),
    prefix=st.sampled_from(("", "./", "/")),
    lists_parents=st.booleans(),
    user=st.sampled_from(USERS),
    workdir=st.sampled_from(WORKDIRS),
    command=st.sampled_from(COMMANDS),
)


@pytest.fixture
def bench(host: Host, shared_tmp: Path) -> Iterator[Bench]:
    with bench_without_copies(host, shared_tmp) as found:
        yield found


@pytest.mark.hosts("docker", "podman", "buildah-rootless")
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@example(
    odd=Odd((("etc/hosts", "/srv/link/y"), ("etc/mtab", "made")), "link", "/", False, "user",
        "/srv/link/w", COMMANDS[4]),
)  # fmt: skip
@example(
    odd=Odd((("run/secrets", "directory"),), "directory", "", False, "user", "app/deep", "true")
)
@given(odd=ODD)
def test_nothing_changes_but_what_the_command_does(odd: Odd, bench: Bench) -> None:
    path = bench.folder / "base"
    shutil.rmtree(path, ignore_errors=True)
    settings_ = {"User": odd.user, "WorkingDir": odd.workdir}
    base = bases.write_layout(path, odd.layers(), settings_)
    layer = bench.folder / "layer.tar"
    layer.unlink(missing_ok=True)
    ran = bench.job(base.ref, "-c", "true", "-o", layer)
    assert ran.returncode == 0, ran.stderr[-2000:]
    made = lines_of(layer) if layer.exists() else []
    assert all(line.startswith("d 755 0:0 ") for line in made), made
    assert bool(made) is (odd.workdir not in ("", "/", "/data"))
    ran = bench.job(base.ref, "-u", "0", "-c", odd.command, "-o", layer)
    assert ran.returncode == 0, ran.stderr[-2000:]
    name = hashlib.sha256(repr(odd).encode()).hexdigest()[:12]
    agree(f"odd fuzz, {name}", ran.stdout or "nothing")
