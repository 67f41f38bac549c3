"""What a service would answer in a rehearsal: it has no image, and does whatever is asked for."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from runcommit_core import process

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runcommit_core import EngineInfo

_NOT_FOUND = 22
"""How curl ends with --fail."""

_NO_IMAGE = re.compile(r"/images/[^/]+/json$")


def answer(engine: EngineInfo, argv: Sequence[str]) -> process.Completed:
    """The answer to a call of curl; the container is on the store's own driver, else on overlay."""
    url = argv[-1].partition("?")[0]
    if _NO_IMAGE.search(url):
        return process.Completed(tuple(argv), _NOT_FOUND, "", "no such image")
    driver = engine.storage or "overlay"
    container = {
        "GraphDriver": {"Name": driver, "Data": {"UpperDir": "/UPPER"}},
        "HostConfig": {},
    }
    info = {
        "host": {"security": {"rootless": engine.rootless}},
        "store": {"graphStatus": {"Native Overlay Diff": str(driver == "overlay").lower()}},
    }
    bodies = {"/json": container, "/info": info, "/wait": 0, "/commit": {"Id": ""}}
    body = next((body for end, body in bodies.items() if url.endswith(end)), "")
    return process.Completed(tuple(argv), 0, json.dumps(body), "")
