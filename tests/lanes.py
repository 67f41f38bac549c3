"""How tests are spread over processes: each lane goes to one of them as a whole.

A lane of pytest-xdist's own, ``xdist_group``, is part of a test's id; here the processes that have
collected the tests write down which lanes they found, as only they see marks.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

from tests.run_folder import run_folder
from tests.selection import lane_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pytest

_FILE = "lanes.json"


def tell(items: Iterable[pytest.Item], worker: str) -> None:
    """Write down the lane of each test; all workers collect the same, and any may be the last."""
    lanes = {item.nodeid: lane for item in items if (lane := lane_of(item))}
    own = run_folder() / f"{worker}-{_FILE}"
    own.write_text(json.dumps(lanes))
    own.replace(run_folder() / _FILE)


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist tells no types of its schedulers
    """Lane after lane to whoever is idle, those with many tests first; then all other tests."""

    def _split_scope(self, nodeid: str) -> str:
        return _lanes().get(nodeid, nodeid)


@functools.cache
def _lanes() -> Mapping[str, str]:
    lanes: dict[str, str] = json.loads((run_folder() / _FILE).read_bytes())
    return lanes
