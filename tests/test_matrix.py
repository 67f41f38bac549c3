"""Every kind of change to a file system, on every host: one layer, and the right one."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from runcommit_core import process
from runcommit_core.testing import Bench, bases, local_bench
from tests.filecases import CAPABILITY, EVERYWHERE, ROOT_ONLY
from tests.filelists import LIST_ALL, by_case, layer_of, seen_by_container, seen_on_disk
from tests.hosts import Host, session
from tests.test_backends import host_bench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.filecases import Case

SCRATCH = "runcommit_core.testing.scratch"


@dataclass(frozen=True)
class Result:
    """What came of one job of many cases."""

    diff_id: str
    layer: Path
    image: Path
    said: str


@pytest.fixture(scope="session")
def folder() -> Iterator[Path]:
    path = session().shared / f"matrix-{os.getpid()}"
    path.mkdir()
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def base(folder: Path) -> bases.Base:
    layers = [bases.busybox_layer(), layer_of((*EVERYWHERE, *ROOT_ONLY))]
    return bases.write_layout(folder / "base", layers)


def run_cases(bench: Bench, base: bases.Base, cases: Sequence[Case]) -> Result:
    layer, image = bench.folder / "layer.tar", bench.folder / "image"
    commands = [word for case in cases for word in ("-c", case.script)]
    ran = bench.job(base.ref, *commands, "-c", LIST_ALL, "-o", layer, "--image", image)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return Result(ran.diff_id, layer, image, ran.stderr)


def own_folder(folder: Path, name: str) -> Path:
    path = folder / name
    path.mkdir()
    path.chmod(0o777)
    return path


@pytest.fixture(scope="session")
def result(host: Host, folder: Path, base: bases.Base) -> Result:
    """All cases in one job of this host."""
    bench = host_bench(host, own_folder(folder, host.name))
    return run_cases(bench, base, EVERYWHERE)


@pytest.fixture(scope="session")
def root_result(host: Host, folder: Path, base: bases.Base) -> Result:
    bench = host_bench(host, own_folder(folder, f"{host.name}-root"))
    return run_cases(bench, base, ROOT_ONLY)


@pytest.fixture(scope="session")
def listed(result: Result) -> dict[str, list[str]]:
    return by_case(result.layer)


@pytest.fixture(scope="session")
def expected(folder: Path, base: bases.Base) -> str:
    """The diff_id by the backend that has no engine."""
    bench = local_bench(SCRATCH, own_folder(folder, "scratch"), set)
    return run_cases(bench, base, EVERYWHERE).diff_id


@pytest.mark.parametrize("case", EVERYWHERE, ids=lambda case: case.name)
def test_layer_says_what_the_commands_did(case: Case, listed: dict[str, list[str]]) -> None:
    assert listed.get(case.name, []) == sorted(case.expected)


@pytest.mark.hosts(rootless=False)
@pytest.mark.parametrize("case", ROOT_ONLY, ids=lambda case: case.name)
def test_layer_says_what_root_did(case: Case, root_result: Result) -> None:
    assert by_case(root_result.layer).get(case.name, []) == sorted(case.expected)


def test_every_host_gives_the_same_layer(result: Result, expected: str) -> None:
    assert result.diff_id == expected


def test_nothing_but_the_cases_is_in_the_layer(listed: dict[str, list[str]]) -> None:
    changed = {case.name for case in EVERYWHERE if case.expected}
    assert set(listed) == changed


@pytest.fixture(scope="session")
def unpacked(folder: Path) -> dict[str, Path]:
    return {}


def unpack(result: Result, place: Path) -> Path:
    """The image as umoci unpacks it, which shares no code with any engine or with us."""
    index = json.loads((result.image / "index.json").read_bytes())
    index["manifests"][0]["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (result.image / "index.json").write_text(json.dumps(index))
    process.output("umoci", "unpack", "--image", f"{result.image}:it", os.fspath(place))
    return place / "rootfs"


def test_image_is_what_the_container_saw(
    result: Result, unpacked: dict[str, Path], folder: Path
) -> None:
    if result.diff_id not in unpacked:
        place = folder / f"unpacked-{len(unpacked)}"
        unpacked[result.diff_id] = unpack(result, place)
    root = unpacked[result.diff_id]
    saw, is_there = seen_by_container(result.said), seen_on_disk(root)
    assert set(saw) == set(is_there)
    assert {name: (saw[name], is_there[name]) for name in saw if saw[name] != is_there[name]} == {}
    capability = os.getxattr(root / "capability-renamed/d", "security.capability")
    assert capability == CAPABILITY
