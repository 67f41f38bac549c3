"""Fixtures of all tests: hosts, base images, folders that every user may write to.

A test that takes ``host`` runs once on each host, or on those that
``@pytest.mark.hosts("podman", "docker")`` names or ``@pytest.mark.hosts(rootless=True)`` describes
(``backend``, ``rootless``, ``naive``, ``isolation``, ``driver``). Narrow hosts are left out unless
a mark names them, their backend, or ``"*"``; far ones unless a mark names them. ``-m "not hosts"``
leaves all of them out.

:mod:`tests.selection` tells which tests run and on hosts of which lane, :mod:`tests.hermetic` in
which environment.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import bases, bazels, hermetic, lanes, measured, run_folder, selection
from tests.hosts import SPECS, Host, HostSpec, key, session, spec_of
from tests.loopback import Client, base_of, serving
from tests.options_table import record, table
from tests.run_folder import once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runcommit_core.oci.model import BaseImage
    from runcommit_core.registry.endpoint import Endpoint
    from tests.bases import Base
    from tests.bazels import Workspace


EVERY = "*"
COVERED = pytest.StashKey[str]()
NARROW = {spec.name: spec.narrow or spec.far for spec in SPECS}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("runcommit")
    group.addoption(
        "--options-table", metavar="FILE", help="write which options worked on which host"
    )
    group.addoption(
        "--quick", action="store_true", help="only the tests that need nothing but Python"
    )
    group.addoption(
        "--engine",
        action="append",
        default=[],
        metavar="NAME,…",
        help="only the tests on an engine, or on one host; repeatable",
    )
    group.addoption("--needs", metavar="FILE", help="write what the tests need, as JSON")
    group.addoption(
        "--coverage", action="store_true", help="measure all processes, and fail below the floor"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call":
        record.settle(passed=report.passed)
    return report


# last: the processes beside this one have ended then
@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["options"] = record.dump()
        measured.save_own()
        return
    if path := config.getoption("--options-table"):
        text = table(record.codes, [spec.name for spec in SPECS if not spec.far])
        (config.invocation_params.dir / path).write_text(text)
    ended = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
    if config.getoption("--coverage") and session.exitstatus in ended:
        config.stash[COVERED], enough = measured.conclude()
        if not enough and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if told := config.stash.get(COVERED, ""):
        terminalreporter.section("coverage")
        terminalreporter.write(told)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has noted, when it ends in order."""
    record.load(getattr(node, "workeroutput", {}).get("options", []))


# last: pytest itself is the caller's, colours and all
@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    for mark, meaning in selection.MARKS.items():
        config.addinivalue_line("markers", f"{mark}: {meaning}")
    worker = _worker(config)
    if not worker:
        run_folder.make()
        config.add_cleanup(run_folder.remove)
    hermetic.enter(run_folder.run_folder() / (worker or "main"))
    if config.getoption("--coverage") and not worker:
        measured.begin()


def _worker(config: pytest.Config) -> str:
    """What this process is called among those that run tests side by side; empty elsewhere."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection.deselect(config, items)
    selection.be_patient(items)
    if path := config.getoption("--needs"):
        needs = selection.needs_of(items, whole=selection.is_whole(config))
        needs.save(config.invocation_params.dir / path)
    if worker := _worker(config):
        items[:] = lanes.arranged(items)
        lanes.tell(items, worker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> lanes.Lanes:
    return lanes.Lanes(config, log)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items[:1]:
        item.config.stash[selection.PART] = True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "host" not in metafunc.fixturenames:
        return
    marks = list(metafunc.definition.iter_markers("hosts"))
    chosen = [spec.name for spec in SPECS if all(_fits(spec, mark) for mark in marks)]
    if not any(_asks_for_narrow(mark) for mark in marks):
        chosen = [name for name in chosen if not NARROW[name]]
    left_out = getattr(metafunc.cls, "left_out", {})
    part = metafunc.function.__qualname__.partition(".")[0]
    chosen = [name for name in chosen if part not in left_out.get(name, ())]
    if not chosen:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: no host fits its marks")
    lane = metafunc.definition.get_closest_marker("lane")
    called = [key(lane.args[0] if lane else spec_of(name).lane, name) for name in chosen]
    metafunc.parametrize("host", called, ids=chosen, indirect=True, scope="session")


def _asks_for_narrow(mark: pytest.Mark) -> bool:
    named = any(name == EVERY or NARROW.get(name) for name in mark.args)
    return named or any(
        spec.narrow and spec.backend == mark.kwargs.get("backend") for spec in SPECS
    )


def _fits(spec: HostSpec, mark: pytest.Mark) -> bool:
    named = spec.name in mark.args or (not spec.far and (not mark.args or EVERY in mark.args))
    return named and all(getattr(spec, name) == value for name, value in mark.kwargs.items())


def pytest_itemcollected(item: pytest.Item) -> None:
    if "host" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("hosts"):
        item.add_marker("hosts")


@pytest.fixture(scope="session")
def machine() -> None:
    """Asked for, also by fixtures, where Python is not enough: busybox, root, mounts, a daemon."""


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for where a process is to have imported nothing but its own, coverage neither."""
    monkeypatch.delenv(measured.VARIABLE, raising=False)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> Host:
    found = session().host(request.param)
    return dataclasses.replace(
        found,
        env={**found.env, **measured.variables(found.spec)},
        observe=functools.partial(record.add, found.name),
    )


@pytest.fixture(autouse=True)
def _no_container_stays(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a container behind, on the host it ran on."""
    if "host" not in request.fixturenames:
        yield
        return
    host: Host = request.getfixturevalue("host")
    before = host.leftovers()
    yield
    left = host.leftovers() - before
    assert not left, f"{host.name}: containers left behind: {sorted(left)}"


@contextlib.contextmanager
def _folder(parent: Path, mode: int) -> Iterator[Path]:
    """A new folder; not tempfile's, whose random names can be no part of ``oci:PATH`` (``._x``)."""
    folder = parent / f"runcommit-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(mode)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def shared_tmp() -> Iterator[Path]:
    """A folder of this test's own that the hosts' unprivileged user may write to."""
    with _folder(session().shared, 0o777) as folder:
        yield folder


@pytest.fixture(scope="session")
def busybox_base(machine: None) -> Base:
    return once("busybox", bases.busybox)


@pytest.fixture(scope="session")
def debian_base(machine: None) -> Base:
    return once("debian", bases.debian)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, and no word of another one in the environment."""
    for name in ("SOURCE_DATE_EPOCH", "RUNCOMMIT_CACHE", "RUNCOMMIT_CACHE_STORE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def base(tmp_path: Path) -> BaseImage:
    """What :func:`endpoint` serves."""
    return base_of(tmp_path / "base", "gzip")


@pytest.fixture
def endpoint(base: BaseImage, tmp_path: Path) -> Iterator[Endpoint]:
    """The loopback registry of a job."""
    with serving(base, tmp_path / "job") as endpoint:
        yield endpoint


@pytest.fixture
def client(endpoint: Endpoint) -> Iterator[Client]:
    client = Client(endpoint)
    yield client
    client.connection.close()


@pytest.fixture(scope="session")
def bazel_folder() -> Iterator[Path]:
    """Where Bazel works: on a real disk, readable for every user."""
    with _folder(Path("/var/tmp"), 0o755) as folder:
        yield folder


@pytest.fixture(scope="session")
def bazel_workspace(bazel_folder: Path) -> Iterator[Workspace]:
    """The tests' Bazel workspace; tests of all files share its server and what is built."""
    with bazels.workspace(bazel_folder / "root") as made:
        yield made


@pytest.fixture(scope="session")
def rootless_workspace() -> Iterator[Workspace]:
    """A workspace of the unprivileged user's, with a server that runs as that user."""
    host = session().host("bazel:podman-rootless")
    with _folder(session().shared, 0o777) as folder, bazels.workspace(folder, host) as made:
        yield made
