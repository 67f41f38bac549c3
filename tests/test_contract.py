"""The contract itself: a right backend keeps it, and each thing wrong is told to its author."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import BackendContract, Bench, bases, local_bench
from runcommit_core.testing.contract import leaving_nothing
from tests import defects, folder_engine

if TYPE_CHECKING:
    from tests.defects import Defect

TOP = Path(__file__).parent.parent
PARTS = sorted({
    Path(part.__module__.replace(".", "/")).with_suffix(".py") for part in BackendContract.__mro__
} - {Path("builtins.py")})  # fmt: skip


def folder_bench(place: Path, defect: str = "") -> Bench:
    """The folder engine with its backend installed, as far as Python is concerned."""
    site, engine = place / "site", place / "engine"
    info = site / "runcommit_folder-1.dist-info"
    for folder in (info, engine):
        folder.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: runcommit-folder\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[runcommit.backends]\nfolder = tests.defects:backend\n")
    bench = local_bench("folder", place, functools.partial(folder_engine.resources, engine))
    env = {
        "PYTHONPATH": os.pathsep.join([str(site), str(TOP)]),
        folder_engine.VARIABLE: str(engine),
        defects.VARIABLE: defect,
    }
    return dataclasses.replace(bench, env={**bench.env, **env})


class TestFolderEngine(BackendContract):
    """Without a defect the contract is kept."""

    @pytest.fixture
    def bench(self, tmp_path: Path, machine: None) -> Bench:
        return folder_bench(tmp_path)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, machine: None) -> bases.Base:
    return bases.busybox(tmp_path_factory.mktemp("base") / "base")


@pytest.mark.parametrize("defect", defects.DEFECTS.values(), ids=defects.DEFECTS)
def test_a_defect_is_told(defect: type[Defect], base: bases.Base, tmp_path: Path) -> None:
    bench = folder_bench(tmp_path, defect.__name__)
    (name,) = (name for name in dir(BackendContract) if name.startswith(f"test_{defect.test}"))
    test = getattr(BackendContract(), name)
    fixtures = {"bench": bench, "base": base}
    taken = {key: fixtures[key] for key in fixtures if key in inspect.signature(test).parameters}
    with pytest.raises(AssertionError) as caught, leaving_nothing(bench):
        test(**taken, **defect.arguments)
    said = str(caught.value)
    told = re.search(
        r"^  hook:    (.*)\n  change:  (.*)\n  read:    (.*), \"(.*)\"$", said, re.MULTILINE
    )
    assert told, said
    hook, change, page, section = told.groups()
    assert defect.hook in hook, said
    assert defect.change in change, said
    assert f"## {section}\n" in (TOP / page).read_text()


def test_every_failure_of_the_contract_has_words() -> None:
    """What the parts expect they say with the vocabulary: an ``assert`` tells an author nothing."""
    assert len(PARTS) > 9
    asserts = [
        f"{path}:{node.lineno}"
        for path in PARTS
        for node in ast.walk(ast.parse((TOP / path).read_bytes()))
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []
