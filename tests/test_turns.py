"""Jobs that do something to the same image wait for each other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from runcommit_core.engine.turns import in_turn

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("other", "waits"), [("base:one", True), ("base:two", False)])
def test_who_comes_second_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, waits: bool
) -> None:
    monkeypatch.setenv("RUNCOMMIT_CACHE_DIR", str(tmp_path))
    order: list[str] = []
    second = threading.Thread(target=in_turn(other, order.append), args=("second",))

    def first() -> None:
        second.start()
        second.join(0.2 if waits else None)
        order.append("first")

    in_turn("base:one", first)()
    second.join()
    assert order == (["first", "second"] if waits else ["second", "first"])
