"""``--split``: what the result tells of a job in parts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from runcommit_core import run_commit
from runcommit_core.testing import bases, scratch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.usefixtures("machine")
def test_the_result_names_the_transport_and_the_places(tmp_path: Path) -> None:
    base = bases.busybox(tmp_path / "base")
    commands = ["echo 1 > /one", "echo 2 > /two"]
    places = {"layer": tmp_path / "layer.tar", "metadata": tmp_path / "report.json"}
    result = run_commit(base.ref, commands, backend=scratch, split=True, **places)
    plain = run_commit(base.ref, commands, backend=scratch)
    assert result.transport == plain.transport == "root"
    assert [layer.path.name for layer in result.layers] == ["layer.1.tar", "layer.2.tar"]
    assert json.loads(places["metadata"].read_bytes())["transport"] == "root"


@pytest.mark.usefixtures("machine")
def test_parts_of_an_earlier_run_of_more_commands_go(tmp_path: Path) -> None:
    base, layer = bases.busybox(tmp_path / "base"), tmp_path / "layer.tar"
    commands = [f"echo {number} > /file{number}" for number in range(3)]
    run_commit(base.ref, commands, backend=scratch, split=True, layer=layer)
    (tmp_path / "layer.5.tar").write_text("of somebody")
    run_commit(base.ref, commands[:1], backend=scratch, split=True, layer=layer)
    assert sorted(path.name for path in tmp_path.glob("layer*")) == ["layer.1.tar", "layer.5.tar"]
    run_commit(base.ref, [":"], backend=scratch, split=True, layer=layer)
    assert sorted(path.name for path in tmp_path.glob("layer*")) == ["layer.5.tar"]
    (tmp_path / "layer.1.tar").write_text("of somebody")
    run_commit(base.ref, commands[:1], backend=scratch, layer=layer)
    assert (tmp_path / "layer.1.tar").read_text() == "of somebody"
