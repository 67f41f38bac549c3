"""How tests are spread over processes: each lane goes to one of them as a whole.

A lane of pytest-xdist's own, ``xdist_group``, is part of a test's id; here the processes that have
collected the tests write down which lanes they found, as only they see marks.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadScopeScheduling

from tests.run_folder import run_folder
from tests.selection import lane_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

_FILE = "lanes.json"
LONG = ("installs", "bazel", "umoci", "pages")
"""Lanes that take long though their tests are few: begun last, they would be waited for alone."""


def arranged(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Tests in the order that lanes begin: long ones, then those with many tests, then none."""
    rows: dict[str, list[pytest.Item]] = {}
    for item in items:
        rows.setdefault(lane_of(item), []).append(item)
    rank = {lane: place for place, lane in enumerate(LONG)}
    order = sorted(rows, key=lambda lane: (not lane, rank.get(lane, len(rank)), -len(rows[lane])))
    return [item for lane in order for item in rows[lane]]


def tell(items: Iterable[pytest.Item], worker: str) -> None:
    """Write down the lane of each test; all workers collect the same, and any may be the last."""
    lanes = {item.nodeid: lane for item in items if (lane := lane_of(item))}
    own = run_folder() / f"{worker}-{_FILE}"
    own.write_text(json.dumps(lanes))
    own.replace(run_folder() / _FILE)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types of its schedulers
    """Lane after lane to whoever is idle, as they are :func:`arranged`; then all other tests."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return _lanes().get(nodeid, nodeid)


@functools.cache
def _lanes() -> Mapping[str, str]:
    lanes: dict[str, str] = json.loads((run_folder() / _FILE).read_bytes())
    return lanes
