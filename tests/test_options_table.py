"""The record of which option worked on which host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from runcommit_core.testing import Bench
from tests.options_table import Record, table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("passed", "cell"), [(True, "✓"), (False, "-")])
def test_what_a_bench_runs_is_recorded(tmp_path: Path, passed: bool, cell: str) -> None:
    record = Record()
    bench = Bench(
        backend="docker",
        folder=tmp_path,
        command=("true",),
        env={"PATH": os.defpath},
        resources=set,
        observe=lambda words, code: record.add("one", words, code),
    )
    bench.run("run", "oci:base", "--workdir", "/tmp")
    bench.run("layer", "show")
    record.settle(passed=passed)
    assert f"| `--workdir` | {cell} |" in table(record.codes, ["one"])
