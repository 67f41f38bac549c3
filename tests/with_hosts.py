"""Bring the test hosts up, run one command, take them down again.

``python -m tests.with_hosts [--only NAME,…] -- COMMAND…`` exits with the command's code. What is
started here ends here, by process id, also on Ctrl-C and SIGTERM, and when this is killed
(:mod:`tests.guardian`). ``LANE:NAME`` is one more host of the kind NAME, for one lane of tests.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests import far_machine, guardian, host_engines, host_session
from tests.hosts import SPECS, VARIABLE, Host, HostSpec, Session, spec_of

if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

REMOVE_ALL = {
    "docker": "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force --volumes",
    "podman": "podman rm --all --force --time 0",
    "buildah": "buildah rm --all",
    "native": "true",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.with_hosts")
    parser.add_argument("--only", default=",".join(spec.name for spec in SPECS))
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    wanted = {called: spec_of(called) for called in filter(None, options.only.split(","))}
    os.umask(0o022)
    guardian.guard()
    for number in guardian.ENDING:
        signal.signal(number, _interrupt)
    with _session(wanted) as description:
        return _run(options.command, {**os.environ, VARIABLE: str(description)})


def _interrupt(number: int, _frame: FrameType | None) -> None:
    _end_undisturbed()
    raise SystemExit(128 + number)


def _end_undisturbed() -> None:
    """A second Ctrl-C must not leave half of the hosts behind."""
    for number in guardian.ENDING:
        signal.signal(number, signal.SIG_IGN)


def _run(command: Sequence[str], env: dict[str, str]) -> int:
    hosts = guardian.children()
    # Should this process be killed, the command does not go on without its hosts.
    child = subprocess.Popen(["setpriv", "--pdeathsig", "INT", "--", *command], env=env)
    # pytest ends in order on SIGINT only
    child.returncode = guardian.attend(child.pid, signal.SIGINT, hosts)
    _end_undisturbed()
    guardian.end_descendants(hosts)
    return child.returncode


@contextlib.contextmanager
def _session(specs: Mapping[str, HostSpec]) -> Iterator[Path]:
    names = host_session.Names.random()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(host_session.session_folder(names))
        shared = folder / "shared"
        shared.mkdir()
        shared.chmod(0o1777)
        user = None
        if any(spec.rootless for spec in specs.values()):
            user = stack.enter_context(host_session.unprivileged_user(names))
        far = None
        if any(spec.far for spec in specs.values()):
            far = stack.enter_context(far_machine.far_machine(folder / "far", names))
        hosts = {}
        for number, (called, spec) in enumerate(specs.items()):
            place = folder / called.replace(":", "-")
            host = _host(spec, place, names.of_host(number), stack, user, far)
            stack.callback(_remove_containers, host)
            hosts[called] = host
        if user:
            host_session.wheel_environment(folder)
        Session(shared, hosts).save(folder / "hosts.json")
        yield folder / "hosts.json"


def _host(
    spec: HostSpec,
    folder: Path,
    names: host_session.Names,
    stack: contextlib.ExitStack,
    user: pwd.struct_passwd | None,
    far: far_machine.FarMachine | None,
) -> Host:
    home = folder / "home"
    runtime = folder.parent / "run" / str(names.number)
    temporary = folder / "tmp"
    for made in (home, runtime, temporary):
        made.mkdir(parents=True)
    runtime.chmod(0o700)
    env = {
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "PATH": host_session.PATH,
        # podman 5 says in every output that version 1 of cgroups will go
        "PODMAN_IGNORE_CGROUPSV1_WARNING": "1",
        "RUNCOMMIT_BACKEND": spec.backend,
        "TMPDIR": str(temporary),
        "XDG_RUNTIME_DIR": str(runtime),
    }
    if spec.far:
        assert far
        far.introduce(home)
        env |= far.variables(spec.name)
        containers = far.containers(spec.program)
    elif spec.backend == "docker":
        address = stack.enter_context(host_engines.dockerd(folder / "docker", names))
        env["DOCKER_HOST"] = address
        containers = folder / "docker/data/containers"
    elif spec.backend == "native":
        store = folder / "store"
        store.mkdir()
        env["RUNCOMMIT_NATIVE_STORE"] = str(store)
        containers = store / "jobs"
    else:
        env |= host_engines.container_store(folder, runtime, spec.driver, names)
        containers = folder / f"store/{spec.driver}-containers/containers.json"
    if spec.isolation:
        env["BUILDAH_ISOLATION"] = spec.isolation
    python = sys.executable
    launcher: tuple[str, ...] = ()
    if spec.rootless and user:
        python = str(host_session.wheel_python(folder.parent))
        launcher = host_session.launcher(user)
        host_session.give(user, folder, runtime)
    return Host(spec, launcher, python, str(home), str(containers), env)


def _remove_containers(host: Host) -> None:
    """Interrupted tests leave containers; an engine takes its own apart best."""
    if host.leftovers():
        host.run("sh", "-c", REMOVE_ALL[host.program], check=False)


if __name__ == "__main__":
    sys.exit(main())
